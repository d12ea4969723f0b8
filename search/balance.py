"""The terms of a query -> the vector that ranks: no term drowns another, and no picture is near to everything.

The scores of a text spread less over a collection than those of a picture, a third of it with OpenAI's ViT-B/32, so in
a plain sum the picture decides. Each term is divided by the spread of its own scores over the collection.

Some pictures, hubs, are near to every text. With OpenAI's ViT-B/32, whose texts lie far from its pictures, the vector
of a text is mostly what all texts share, and taking the mean of ordinary texts away from it lifts the mean average
precision of label queries from 0.297 to 0.36. Models whose texts and pictures lie together have nothing to take away,
and a sentence shares less with ordinary texts than a word does, so it is done for a wide gap only, and in so far as a
text is like ordinary ones. benchmarks/RESULTS.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.calibrate import Calibrator, Modality
from search.index import Vectors
from search.types import Target

LEAST_GAP = 0.75
"""Between the means of texts and of pictures: 0.94 with OpenAI's ViT-B/32, 0.6 with small models that need no care."""

_SHARPNESS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The unit vector of a term, (dim,), its weight, and of which kind it is."""

    vector: Vectors
    weight: float
    modality: Modality


def plain_sum(parts: Sequence[Part], calibrator: Calibrator) -> Vectors:
    """(dim,). Of a part with a negative weight only what is particular to it is taken away."""
    return _sum([part.weight * _particular(part, calibrator) for part in parts])


def balanced_sum(parts: Sequence[Part], target: Target, calibrator: Calibrator) -> Vectors:
    """(dim,). The plain sum where the collection is too small to tell what scores are like."""
    if not calibrator.knows(target):
        return plain_sum(parts, calibrator)
    vectors = [_without_hubs(part, target, calibrator) for part in parts]
    if len(parts) == 1:
        return _sum([parts[0].weight * vectors[0]])
    weights = [part.weight / calibrator.spread_of(vector, target) for part, vector in zip(parts, vectors, strict=True)]
    return _sum([weight * vector for weight, vector in zip(weights, vectors, strict=True)])


def _sum(vectors: Sequence[Vectors]) -> Vectors:
    total: Vectors = np.sum(vectors, axis=0, dtype=np.float32)
    return total


def _particular(part: Part, calibrator: Calibrator) -> Vectors:
    return _sum([part.vector, -calibrator.mean(part.modality)]) if part.weight < 0 else part.vector


def _without_hubs(part: Part, target: Target, calibrator: Calibrator) -> Vectors:
    """A wanted text that looks for pictures, less what it shares with ordinary texts; other parts as in a plain sum."""
    if part.weight < 0 or part.modality != "text" or target != "images":
        return _particular(part, calibrator)
    texts = calibrator.mean("text")
    if np.linalg.norm(texts - calibrator.mean("image")) < LEAST_GAP:
        return part.vector
    share = float(np.clip(part.vector @ texts / (texts @ texts), 0, 1)) ** _SHARPNESS
    return _sum([part.vector, -share * texts])
