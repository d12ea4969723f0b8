"""Vectors and ids -> neighbours: what search needs of an index, whatever is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search.expression import Condition

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

REPAIR = "python -m indexer verify --repair makes it again from the catalog"

UNIT_TOLERANCE = 2e-3
"""How far the length of a row may lie from 1: where it was kept in float16, rounding moved it by 5e-4 at most."""


class Neighbours(NamedTuple):
    """Per query, nearest first: scores (n, k) float32 and ids (n, k) int64; -1 is the id where there are no more."""

    scores: Vectors
    ids: Ids


class VectorIndex(Protocol):
    """Derived from the catalog, published whole, never changed: a file that readers map, or what a server has."""

    kind: str

    def __len__(self) -> int: ...

    def search(
        self,
        queries: Vectors,
        k: int,
        among: Ids | None = None,
        *,
        where: Sequence[Condition] = (),
        exact: bool = False,
    ) -> Neighbours:
        """The k nearest of each of the (n, dim) unit rows, of all vectors or of those with the ids `among`, ascending.

        Only what satisfies all of `where` counts: what the index does not tell of it, the ids `among` satisfy already.
        Where only some counts, and where `exact` is asked for, none is missed, whatever the kind.
        """
        ...

    def tells(self, asked: Condition) -> bool:
        """Whether the index knows by itself what satisfies the condition."""
        ...

    def some_ids(self, count: int) -> Ids:
        """Up to `count` of the ids, from everywhere, ascending."""
        ...

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        """Up to `count` ids from position `start` on, and their (n, dim) rows as the index holds them."""
        ...

    def rounded(self, rows: Vectors) -> Vectors:
        """(n, dim) rows as the index would hold them."""
        ...


def sampled(size: int, count: int) -> NDArray[np.int64]:
    """Up to `count` places below `size`, ascending, always the same. By chance, since rows may have a rhythm."""
    return np.unique((np.random.default_rng(0).random(min(size, count)) * size).astype(np.int64))


def no_neighbours(queries: int, k: int) -> Neighbours:
    """What a search finds where there is nothing."""
    return Neighbours(np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1))


def checked(vectors: Vectors, dim: int) -> Vectors:
    """`vectors` if they are (n, dim) unit rows; ValueError otherwise."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ValueError(f"vectors have the shape {vectors.shape}, the index takes (n, {dim})")
    if bad := int((~unit_rows(vectors)).sum()):
        raise ValueError(f"{bad} of {len(vectors)} vectors are not of unit length")
    return vectors


def unit_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Which of the (n, dim) rows are finite and of unit length: (n,)."""
    lengths = np.linalg.norm(vectors, axis=1)
    close: NDArray[np.bool_] = np.abs(lengths - 1.0) <= UNIT_TOLERANCE
    return close  # False for NaN and infinity too
