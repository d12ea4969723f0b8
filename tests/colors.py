"""The color encoder: a true, tiny text-image space, so that searches in tests mean something and take no time.

A picture is its mean color, a text the mean of the color words in it; both live in the three dimensions of RGB, plus
one that is never zero, so that black and wordless texts have a direction too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.types import EncoderIdentity, Logits

COLORS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


class ColorEncoder:
    """Satisfies `search.encoder.Encoder`. `encoded` counts the pictures that went through it."""

    identity = EncoderIdentity("colors", "mean color", "0" * 64, 4, "8x8, squash")
    side = 8
    on_gpu = False
    logits = Logits(scale=10.0)
    context = 77

    def __init__(self) -> None:
        self.encoded = 0
        self.texts: list[str] = []

    def preprocess(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.resize((8, 8), Image.Resampling.BOX))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """A word is a token; two more stand around a text."""
        return [len(text.split()) + 2 for text in texts]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Everything but Greek."""
        return [not re.search(r"[\u03b1-\u03c9]", text) for text in texts]

    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            self.encoded += len(batch)
            yield (
                unit_rows(batch.reshape(len(batch), -1, 3).mean(axis=1)) if len(batch) else np.empty((0, 4), np.float32)
            )

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        (rows,) = self.encode_batches([np.stack([self.preprocess(image) for image in images])])
        return rows

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return unit_rows(np.array([_mean_color(text) for text in texts]))


def unit_rows(colors: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n, 3) colors in 0..255 -> (n, 4) unit rows."""
    rows = np.column_stack([colors / 255.0, np.full(len(colors), 0.2)])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _mean_color(text: str) -> NDArray[np.floating]:
    named = [COLORS[word] for word in re.findall(r"\w+", text.lower()) if word in COLORS]
    return np.mean(named, axis=0) if named else np.full(3, 127.5)
