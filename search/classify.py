"""Labels -> class vectors; image vectors with these -> logits and probabilities, as CLIP classifies without training.

Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.errors import BadQuery
from search.languages import require_read
from search.prompts import Label, prompts
from search.types import Logits

if TYPE_CHECKING:
    from search.encoder import Encoder

_PROMPTS_AT_ONCE = 1024
"""Rows of prompts that are held until they are averaged."""


class Nearest(NamedTuple):
    """A label that is near to an image: the cosine similarity of the two, and its probability among all labels."""

    label: str
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Classifier:
    """`vectors` has one unit row for each label, (labels, dim)."""

    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    logits: Logits

    def logits_per_image(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, dim) unit rows -> (n, labels)."""
        logits: NDArray[np.float32] = self.logits.scale * (images @ self.vectors.T) + self.logits.bias
        return logits

    def logits_per_text(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, dim) unit rows -> (labels, n)."""
        return self.logits_per_image(images).T

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, dim) unit rows -> (n, labels), each row with the sum 1: one of the labels is taken to be right."""
        logits = self.logits_per_image(images)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def nearest(self, image: NDArray[np.float32], count: int) -> list[Nearest]:
        """The labels that are nearest to a unit vector, (dim,), at most `count` of them."""
        scores, probabilities = self.vectors @ image, self.probabilities(image[np.newaxis])[0]
        best = np.argsort(-scores, kind="stable")[:count]
        return [Nearest(self.labels[place], float(scores[place]), float(probabilities[place])) for place in best]


def make_classifier(encoder: Encoder, labels: Sequence[str | Label], templates: Sequence[str]) -> Classifier:
    """Each label is the normalized mean of the vectors of its prompts: its own, or else those of the templates.

    Raises BadQuery without labels or templates, for an empty label, and for one that does not fit the text tower or is
    in a script that it does not know.
    """
    if not labels or not templates:
        raise BadQuery("no labels or no templates; give at least one of each, such as dog and 'a photo of a {}.'")
    whole = [Label(label) if isinstance(label, str) else label for label in labels]
    if not all(label.name.strip() for label in whole):
        raise BadQuery("an empty label; leave it out")
    require_read(encoder, [text for label in whole for text in label.prompts or [label.name]])
    texts = [label.prompts or prompts(label.name, templates) for label in whole]
    at_once = max(1, _PROMPTS_AT_ONCE // max(map(len, texts)))
    blocks = [texts[start : start + at_once] for start in range(0, len(texts), at_once)]
    vectors = np.concatenate([_rows(encoder, block) for block in blocks])
    return Classifier(tuple(label.name for label in whole), vectors, encoder.logits)


def _rows(encoder: Encoder, prompts_of_labels: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """(labels, dim)."""
    texts = list(chain.from_iterable(prompts_of_labels))
    _require_fit(encoder, texts)
    starts = np.cumsum([0, *map(len, prompts_of_labels[:-1])])
    rows = np.add.reduceat(encoder.encode_texts(texts), starts)
    normalized: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normalized


def _require_fit(encoder: Encoder, texts: Sequence[str]) -> None:
    for text, tokens in zip(texts, encoder.count_tokens(texts), strict=True):
        if tokens > encoder.context:
            raise BadQuery(
                f"{text[:60]!r}... has {tokens} tokens and the model reads {encoder.context}; shorten the label"
            )
