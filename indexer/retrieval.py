"""Pictures and captions with their vectors -> how often each finds the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from indexer.gallery import Encoded
from search.evaluate import Numbers, ranks, recall
from search.published import published_recall

if TYPE_CHECKING:
    from search.encoder import Encoder

KS = (1, 5, 10)
"""Where recall is told, as it is published."""

CAPTIONS_AT_ONCE = 1024
"""Between two steps of the progress bar."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The rank, from 1 on, at which each caption finds its picture, and each picture the nearest of its captions.

    `per_picture` is how many captions each picture has; `truncated` counts those with more tokens than `context`.
    """

    model: str
    text_to_image: Numbers
    image_to_text: Numbers
    per_picture: Sequence[int]
    truncated: int
    context: int

    def to_dict(self) -> dict[str, Any]:
        """Recall as shares in [0, 1]."""
        return {
            "model": self.model,
            "pictures": len(self.image_to_text),
            "captions": len(self.text_to_image),
            "captions_per_picture": {"least": min(self.per_picture), "most": max(self.per_picture)},
            "truncated": self.truncated,
            "context": self.context,
            "text_to_image": _figures(self.text_to_image),
            "image_to_text": _figures(self.image_to_text),
            "published": published_recall(self.model),
        }


def retrieval(images: Encoded, captions: Mapping[str, Sequence[str]], encoder: Encoder) -> Retrieval:
    """`captions` by path; every path of `images` has at least one. Captions that do not fit the model are cut, as in
    the published protocol, and counted.
    """
    texts = [caption for path in images.paths for caption in captions[path]]
    per_picture = [len(captions[path]) for path in images.paths]
    of_texts = np.repeat(np.arange(len(images.paths)), per_picture)
    of_images = np.arange(len(images.paths))
    rows = _rows(texts, encoder)
    return Retrieval(
        model=encoder.identity.model,
        text_to_image=ranks(rows, of_texts, images.rows, of_images),
        image_to_text=ranks(images.rows, of_images, rows, of_texts),
        per_picture=per_picture,
        truncated=sum(tokens > encoder.context for tokens in encoder.count_tokens(texts)),
        context=encoder.context,
    )


def _rows(texts: Sequence[str], encoder: Encoder) -> NDArray[np.float32]:
    """(n, dim), with a progress bar, if stderr is a terminal."""
    parts = []
    with tqdm(total=len(texts), unit=" captions", disable=None, dynamic_ncols=True) as bar:
        for start in range(0, len(texts), CAPTIONS_AT_ONCE):
            parts.append(encoder.encode_texts(texts[start : start + CAPTIONS_AT_ONCE]))
            bar.update(len(parts[-1]))
    return np.concatenate(parts)


def _figures(ranks: Numbers) -> dict[str, Any]:
    return {"recall": {str(k): recall(ranks, k) for k in KS}, "median_rank": float(np.median(ranks))}
