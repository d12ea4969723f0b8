"""How many of the true neighbours an index finds, for queries of each modality, against comparing everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from search.index import Ids, VectorIndex, Vectors
from search.types import Target

K = 10

PROBES = 100
"""Queries of each kind, so a neighbour that is missed is a thousandth."""

_ROUNDING = 1e-6

NOBODY = -1
"""The own id of a query that the index does not hold."""


class Probes(NamedTuple):
    """Queries to measure with: unit rows (n, dim), and the ids (n,) under which the index holds them, or NOBODY."""

    rows: Vectors
    own: Ids


class Sampled(Protocol):
    """Vectors of which some can be had."""

    def sample(self, count: int) -> tuple[Ids, Vectors]:
        """Ids, (n,), and their rows, (n, dim)."""
        ...


def make_probes(target: Target, indexes: Mapping[Target, Sampled], background: Vectors | None) -> dict[str, Probes]:
    """Pictures of the collection, and its captions or else the background texts, as queries for `target`, by modality.

    What the target holds itself does not find itself.
    """
    rows: dict[str, tuple[Target, Ids, Vectors]] = {"image": ("images", *indexes["images"].sample(PROBES))}
    rows["text"] = ("texts", *indexes["texts"].sample(PROBES))
    if len(rows["text"][1]) < PROBES and background is not None:
        rows["text"] = ("texts", np.full(len(background), NOBODY), background)
    return {
        modality: Probes(vectors, ids if source == target else np.full(len(ids), NOBODY))
        for modality, (source, ids, vectors) in rows.items()
        if len(ids)
    }


def nearest(index: VectorIndex, probes: Probes, *, exact: bool) -> Vectors:
    """The scores of the K nearest of each probe, without its own: (n, K), or fewer of a small index."""
    found = index.search(probes.rows, K + 1, exact=exact)
    scores = np.where((found.ids == probes.own[:, np.newaxis]) | (found.ids < 0), -np.inf, found.scores)
    return -np.sort(-scores, axis=1)[:, :K]


def recall(found: Vectors, true: Vectors) -> float:
    """recall@K: the share of neighbours found that are as near as the true ones, so that equal ones may stand in."""
    return float(np.mean(found >= true[:, -1:] - _ROUNDING))
