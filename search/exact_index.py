"""The exact index: every vector is compared. It holds exactly what the catalog holds, in float16."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from search.files import replace_file
from search.index import Ids, Neighbours, Vectors, checked

ROWS_A_THREAD = 20_000
"""A single query is scanned by several threads when each has as many rows."""


class ExactIndex:
    """FAISS's scan of float16 rows, under the ids of an IndexIDMap."""

    kind = "exact"

    def __init__(self, index: faiss.IndexIDMap, rows: faiss.Index | None = None) -> None:
        """`rows` is the part of `index` that holds the vectors, when that is not all of it."""
        self._index = index
        self.rows = rows or index.index
        self.ids: Ids = faiss.vector_to_array(index.id_map)

    @classmethod
    def build(cls, dim: int, batches: Iterable[tuple[Ids, Vectors]]) -> ExactIndex:
        """An index over ids (n,) and unit rows (n, dim), batch by batch."""
        rows = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexIDMap(rows)
        for ids, vectors in batches:
            index.add_with_ids(checked(vectors, dim), ids)
        return ExactIndex(index)

    def save(self, file: Path) -> None:
        aside = file.with_suffix(".new")
        faiss.write_index(self._index, str(aside))
        replace_file(aside, file)

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries: Vectors, k: int, among: Ids | None = None, *, exact: bool = True) -> Neighbours:  # noqa: ARG002
        queries = checked(queries, self.rows.d)
        k = min(k, max(len(self) if among is None else len(among), 1))
        if not len(self):
            return Neighbours(np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1))
        member = None if among is None else np.isin(self.ids, among)
        parts = _parts(len(self)) if len(queries) == 1 else [(0, len(self))]
        found = list(_threads().map(lambda part: self._scan(queries, k, part, member), parts))
        return found[0] if len(found) == 1 else _merged(found, k)

    def _scan(self, queries: Vectors, k: int, part: tuple[int, int], member: NDArray[np.bool_] | None) -> Neighbours:
        """The neighbours among the rows from one place up to another, of which `member` says whether they count."""
        options = faiss.SearchParameters(sel=_selector(part, member))  # type: ignore[call-arg]
        scores, places = self.rows.search(queries, k, params=options)
        return self.named(scores, places)

    def named(self, scores: Vectors, places: Ids) -> Neighbours:
        """Places in the index -> ids."""
        return Neighbours(scores, np.where(places < 0, -1, self.ids[places]))

    def sample(self, count: int) -> tuple[Ids, Vectors]:
        """Some of the ids and their rows, the same ones every time; all of a small index."""
        places = np.sort(np.random.default_rng(0).permutation(len(self))[:count])
        return self.ids[places], self.rows.reconstruct_batch(places)

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        count = max(0, min(count, len(self) - start))
        return self.ids[start : start + count], self.rows.reconstruct_n(start, count)


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
