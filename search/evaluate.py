"""Vectors in, numbers out: how well queries find what they look for, exactly, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]

CELLS = 4_000_000
"""Scores that are held at once: 16 MB of float32."""


def ranks(queries: Vectors, query_labels: Numbers, items: Vectors, item_labels: Numbers) -> Numbers:
    """The rank, from 1 on, of the nearest relevant item of each of the (n, dim) unit rows `queries`: (n,).

    Relevant are those of the (m, dim) unit rows `items` that have the query's label. Others of the same score count as
    nearer, so that a model for which all is alike finds nothing. ValueError for a query without a relevant item.
    """
    found = []
    for start, scores in _blocks(queries, items):
        relevant = query_labels[start : start + len(scores), np.newaxis] == item_labels
        if not relevant.any(axis=1).all():
            raise ValueError("a query has no relevant item")
        best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
        found.append(1 + ((scores >= best) & ~relevant).sum(axis=1))
    return np.concatenate([np.empty(0, np.int64), *found])


def recall(ranks: Numbers, k: int) -> float:
    """recall@k in [0, 1] as CLIP and its successors publish it: the share of queries with any relevant item among the
    first k.
    """
    return float((ranks <= k).mean())


def nearest(queries: Vectors, items: Vectors, k: int) -> Numbers:
    """The places of the k nearest of the (m, dim) `items` for each of the (n, dim) `queries`: (n, min(k, m)).

    Of equal scores the first place comes first.
    """
    found = [np.argsort(-scores, axis=1, kind="stable")[:, :k] for _, scores in _blocks(queries, items)]
    return np.concatenate([np.empty((0, min(k, len(items))), np.int64), *found])


def ndcg(found: NDArray[np.float64], every: NDArray[np.float64], k: int) -> float:
    """nDCG@k in [0, 1] of the grades `found`, in the order of the hits, where `every` grade of the query is known.

    The gain of a grade is the grade itself, its discount log2(1 + rank). Source: Järvelin & Kekäläinen 2002, "Cumulated
    gain-based evaluation of IR techniques", with the discount from the first rank on, as trec_eval and scikit-learn
    have it. ValueError where no grade is above 0.
    """
    best = _dcg(-np.sort(-every)[:k])
    if best <= 0:
        raise ValueError("no grade is above 0")
    return _dcg(found[:k]) / best


def _dcg(grades: NDArray[np.float64]) -> float:
    return float((grades / np.log2(np.arange(2, len(grades) + 2))).sum())


def _blocks(queries: Vectors, items: Vectors) -> Iterator[tuple[int, Vectors]]:
    """The place of the first query of a block, and the cosines of its queries with all items, (block, m)."""
    at_once = max(1, CELLS // max(1, len(items)))
    for start in range(0, len(queries), at_once):
        yield start, queries[start : start + at_once] @ items.T
