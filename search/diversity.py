"""The first hits of a ranking -> an order in which each shows something that those before it do not.

Maximal marginal relevance (Carbonell and Goldstein 1998): next comes the hit with the largest

    LAMBDA * relevance - (1 - LAMBDA) * similarity to the nearest hit before it

of the WINDOW most relevant ones. Scores of texts lie close together and cosines between pictures far from 0, so both
are scaled over the window: relevance from 0 for its last hit to 1 for its first, similarity from 0 for two hits that
are as near as two are on average to 1 for two that are the same.
"""

from __future__ import annotations

import numpy as np

from search.index import Vectors

LAMBDA = 0.7
WINDOW = 200
"""Hits after these follow in the order of the ranking."""

_LEAST = 1e-6


def diversified(relevance: Vectors, rows: Vectors) -> list[int]:
    """The places, (n,), of unit rows, (n, dim), in their new order; `relevance`, (n,), falls."""
    count = min(len(rows), WINDOW)
    if count < 2:
        return list(range(len(rows)))
    gains = LAMBDA * _relevance(relevance[:count])
    similar = _similarity(rows[:count])
    order = [0]
    nearest = similar[0].copy()
    left = np.ones(count, bool)
    left[0] = False
    while len(order) < count:
        value = np.where(left, gains - (1 - LAMBDA) * nearest, -np.inf)
        chosen = int(value.argmax())
        order.append(chosen)
        left[chosen] = False
        nearest = np.maximum(nearest, similar[chosen])
    return [*order, *range(count, len(rows))]


def _relevance(scores: Vectors) -> Vectors:
    span = max(float(scores[0] - scores[-1]), _LEAST)
    return np.asarray((scores - scores[-1]) / span, np.float32)


def _similarity(rows: Vectors) -> Vectors:
    cosines = rows @ rows.T
    count = len(rows)
    usual = float((cosines.sum() - np.trace(cosines)) / (count * (count - 1)))
    return np.asarray((cosines - usual) / max(1 - usual, _LEAST), np.float32)
