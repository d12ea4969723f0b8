"""How many of the true neighbours an index finds, for queries of each modality, against comparing everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from search.exact_index import ExactIndex
from search.index import Ids, VectorIndex, Vectors
from search.types import Target

K = 10

_PROBES = 100
"""Queries of each kind, so a neighbour that is missed is a thousandth."""

_ROUNDING = 1e-6

NOBODY = -1
"""The own id of a query that the index does not hold."""


class Probes(NamedTuple):
    """Queries to measure with: unit rows (n, dim), and the ids (n,) under which the index holds them, or NOBODY."""

    rows: Vectors
    own: Ids


def make_probes(target: Target, indexes: Mapping[Target, ExactIndex], background: Vectors | None) -> dict[str, Probes]:
    """Pictures of the collection, and its captions or else the background texts, as queries for `target`, by modality.

    What the target holds itself does not find itself.
    """
    rows: dict[str, tuple[Target, Ids, Vectors]] = {"image": ("images", *indexes["images"].sample(_PROBES))}
    rows["text"] = ("texts", *indexes["texts"].sample(_PROBES))
    if len(rows["text"][1]) < _PROBES and background is not None:
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
