"""Vectors and ids -> neighbours. Derived from the catalog, published as one file, memory-mapped by readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from search.errors import CollectionError
from search.files import replace_file

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

REPAIR = "python -m indexer verify --repair makes it again from the catalog"

ROWS_A_THREAD = 20_000
"""A single query is scanned by several threads when each has as many rows."""

UNIT_TOLERANCE = 2e-3
"""How far the length of a float16 row may lie from 1: rounding moves it by 5e-4 at most."""


class Neighbours(NamedTuple):
    """Per query, nearest first: scores (n, k) float32 and ids (n, k) int64; -1 is the id where there are no more."""

    scores: Vectors
    ids: Ids


class VectorIndex(Protocol):
    """What search needs of an index, whatever is behind it."""

    kind: str

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> Neighbours:
        """The k nearest of each of the (n, dim) unit rows, of all vectors or of those with the ids `among`."""
        ...

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        """Up to `count` ids from position `start` on, and their (n, dim) rows as the index holds them."""
        ...


class ExactIndex:
    """Every vector is compared: FAISS's float16 scan, which holds exactly what the catalog holds."""

    kind = "exact"

    def __init__(self, index: faiss.IndexIDMap) -> None:
        self._index = index
        self._ids: Ids = faiss.vector_to_array(index.id_map)

    @classmethod
    def build(cls, dim: int, batches: Iterable[tuple[Ids, Vectors]]) -> ExactIndex:
        """An index over ids (n,) and unit rows (n, dim), batch by batch."""
        codes = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexIDMap(codes)
        for ids, vectors in batches:
            index.add_with_ids(checked(vectors, dim), ids)
        return cls(index)

    @classmethod
    def open(cls, file: Path) -> Self:
        """Map the file; pages are read when a search needs them.

        Raises FileNotFoundError where there is none and CollectionError for a damaged one.
        """
        try:
            index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            if not file.exists():
                raise FileNotFoundError(file) from error
            raise CollectionError(f"{file} is not a readable index: {REPAIR}") from error
        if not isinstance(index, faiss.IndexIDMap):
            raise CollectionError(f"{file} holds an index of another kind: {REPAIR}")
        return cls(index)

    def save(self, file: Path) -> None:
        """Write the file whole: it is on the disk under its name, or it is not there."""
        aside = file.with_suffix(".new")
        faiss.write_index(self._index, str(aside))
        replace_file(aside, file)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> Neighbours:
        queries = checked(queries, self._index.d)
        k = min(k, max(len(self) if among is None else len(among), 1))
        if not len(self):
            return Neighbours(np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1))
        member = None if among is None else np.isin(self._ids, among)
        parts = _parts(len(self)) if len(queries) == 1 else [(0, len(self))]
        found = list(_threads().map(lambda part: self._scan(queries, k, part, member), parts))
        return found[0] if len(found) == 1 else _merged(found, k)

    def _scan(self, queries: Vectors, k: int, part: tuple[int, int], member: NDArray[np.bool_] | None) -> Neighbours:
        """The neighbours among the rows from one place up to another, of which `member` says whether they count."""
        options = faiss.SearchParameters(sel=_selector(part, member))  # type: ignore[call-arg]
        scores, places = self._index.index.search(queries, k, params=options)
        return Neighbours(scores, np.where(places < 0, -1, self._ids[places]))

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        count = max(0, min(count, len(self) - start))
        return self._ids[start : start + count], self._index.index.reconstruct_n(start, count)


def _selector(part: tuple[int, int], member: NDArray[np.bool_] | None) -> faiss.IDSelector:
    """Places from one up to another, of which only members count; FAISS's Python takes arrays and keeps them alive."""
    if member is None:
        return faiss.IDSelectorRange(*part)
    chosen = np.zeros_like(member)
    chosen[slice(*part)] = member[slice(*part)]
    return faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))  # type: ignore[call-arg, arg-type]


def _parts(count: int) -> list[tuple[int, int]]:
    """As many ranges of rows as threads are worth waking for."""
    threads = max(1, min(faiss.omp_get_max_threads(), count // ROWS_A_THREAD))
    ends = [count * number // threads for number in range(threads + 1)]
    return list(pairwise(ends))


@cache
def _threads() -> ThreadPoolExecutor:
    """For all indexes together, so that searches at once do not take more threads than the machine has."""
    return ThreadPoolExecutor(faiss.omp_get_max_threads(), "index")


def _merged(found: Sequence[Neighbours], k: int) -> Neighbours:
    scores, ids = (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(scores, best, axis=1), np.take_along_axis(ids, best, axis=1))


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
