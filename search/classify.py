"""Labels -> class vectors; image vectors with these -> logits and probabilities, as CLIP classifies without training.

Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.errors import BadQuery
from search.languages import require_read
from search.prompts import prompts
from search.types import Logits

if TYPE_CHECKING:
    from search.encoder import Encoder

_PROMPTS_AT_ONCE = 1024
"""Rows of prompts that are held until they are averaged."""


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


def make_classifier(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> Classifier:
    """Each label is the normalized mean of the vectors of its prompts.

    Raises BadQuery without labels or templates, for an empty label, and for one that does not fit the text tower or is
    in a script that it does not know.
    """
    if not labels or not templates:
        raise BadQuery("no labels or no templates; give at least one of each, such as dog and 'a photo of a {}.'")
    if not all(label.strip() for label in labels):
        raise BadQuery("an empty label; leave it out")
    require_read(encoder, labels)
    at_once = max(1, _PROMPTS_AT_ONCE // len(templates))
    blocks = [labels[start : start + at_once] for start in range(0, len(labels), at_once)]
    return Classifier(tuple(labels), np.concatenate([_rows(encoder, b, templates) for b in blocks]), encoder.logits)


def _rows(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """(labels, dim)."""
    texts = [text for label in labels for text in prompts(label, templates)]
    _require_fit(encoder, texts)
    rows = encoder.encode_texts(texts).reshape(len(labels), len(templates), -1).mean(axis=1)
    normalized: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normalized


def _require_fit(encoder: Encoder, texts: Sequence[str]) -> None:
    for text, tokens in zip(texts, encoder.count_tokens(texts), strict=True):
        if tokens > encoder.context:
            raise BadQuery(
                f"{text[:60]!r}... has {tokens} tokens and the model reads {encoder.context}; shorten the label"
            )
