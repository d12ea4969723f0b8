"""Pictures and texts on which two encoders are compared, and how near their vectors are."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from search.background import BACKGROUND_TEXTS
from search.errors import ExportRefused
from search.image import decode_picture
from search.paths import read_file
from search.settings import MAX_PIXELS, SAMPLE
from search.types import Agreement

PICTURES = 64

_HARD_TEXTS = (
    *("", "A", "Two DOGS, one of them's black; it isn't 12.5% white!", "Schnee auf den Bäumen 雪 ☃ 👩‍👩‍👧"),
    *(
        "fish &amp; chips &lt;3 caf\u00c3\u00a9",
        "<end_of_text> of\tthe\nday",
        "a" * 60,
        "one cat after the other " * 30,
    ),
)
PROBE_TEXTS = (*BACKGROUND_TEXTS, *_HARD_TEXTS)
"""The first are asked in every collection, to calibrate scores; the others are hard on tokenizers."""

_TOP = 10


@cache
def probe_pictures() -> tuple[Image, ...]:
    """Some of the sample pictures, upright in RGB, evenly from all of its folders. Raises ExportRefused without."""
    files = sorted(SAMPLE.glob("*/*.jpg"))
    if len(files) < PICTURES:
        raise ExportRefused(f"{SAMPLE} does not hold the {PICTURES} pictures on which towers are compared")
    chosen = [files[place * len(files) // PICTURES] for place in range(PICTURES)]
    return tuple(decode_picture(read_file(file), max_pixels=MAX_PIXELS).image for file in chosen)


def cosines(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of row i of one with row i of the other, (n, dim) unit rows both: (n,)."""
    found: NDArray[np.float32] = np.einsum("nd,nd->n", rows, others)
    return found


def agreement(exact: NDArray[np.float32], quantized: NDArray[np.float32], texts: NDArray[np.float32]) -> Agreement:
    """Of pictures' vectors in fp32 and int8, (n, dim), asked for with those of `texts` and with each other."""
    shares = [
        *_shares(_nearest(texts @ exact.T), _nearest(texts @ quantized.T)),
        *_shares(_nearest(_without_itself(exact @ exact.T)), _nearest(_without_itself(quantized @ quantized.T))),
    ]
    return Agreement(float(cosines(exact, quantized).mean()), float(np.mean(shares)))


def _nearest(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argsort(-scores, axis=1, kind="stable")[:, :_TOP]


def _without_itself(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    np.fill_diagonal(scores, -np.inf)
    return scores


def _shares(found: NDArray[np.int64], others: NDArray[np.int64]) -> list[float]:
    return [len(set(row) & set(other)) / _TOP for row, other in zip(found.tolist(), others.tolist(), strict=True)]
