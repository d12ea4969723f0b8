"""The exact index: every vector is compared. It holds what the catalog holds, less the rows' mean, in float16.

Vectors of one model have much in common: half of an image's vector is the mean of all images. Without it they are
small, float16 rounds them little, and neighbours keep their order. A query's product with the mean is one number, which
is added to all of its scores.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from search.expression import Condition
from search.fact_columns import FactColumns
from search.files import replacing
from search.index import Ids, Neighbours, Vectors, checked, no_neighbours, sampled
from search.index_file import write
from search.index_threads import parts_of, scan_threads, threads_for
from search.seals import NAME_BYTES, Seal

FEW = 1_000
"""So few rows are taken out of the index and compared."""

MANY = 0.25
"""When more of the rows count, neighbours are found among all and those that do not count are passed over."""

SPARE = 50

_COUNT_BYTES = 8
"""Before the ids in FAISS's file: how many there are."""


class Found(NamedTuple):
    """Per query, nearest first: products with the centred rows (n, k), and their places (n, k), -1 where there are no
    more.
    """

    scores: Vectors
    places: Ids

    def taking(self, which: Ids) -> Found:
        """Of each query those at (n, m) places in its row."""
        return Found(np.take_along_axis(self.scores, which, 1), np.take_along_axis(self.places, which, 1))


class ExactIndex:
    """FAISS's scan of float16 rows, centred by an IndexPreTransform, under the ids of an IndexIDMap."""

    kind = "exact"
    _bytes_after_rows = 0
    """Of the file, between the rows and the ids."""

    def __init__(self, index: faiss.IndexIDMap) -> None:
        self._index = index
        self.rows, self.mean = inside(index)
        self.ids: Ids = faiss.vector_to_array(index.id_map)
        self.facts: FactColumns | None = None

    @classmethod
    def build(cls, dim: int, batches: Iterable[tuple[Ids, Vectors]]) -> ExactIndex:
        """An index over ids (n,), ascending from batch to batch, and unit rows (n, dim)."""
        rows = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index = around(rows, np.zeros(dim, np.float32))
        for ids, vectors in batches:
            if not rows.ntotal:
                index = around(rows, vectors.mean(axis=0))
            index.add_with_ids(checked(vectors, dim), ids)
        made = ExactIndex(index)
        if (np.diff(made.ids) <= 0).any():
            raise ValueError("the ids do not ascend")
        return made

    def save(self, file: Path) -> Seal:
        """Write the file whole: it is on the disk under its name, or it is not there. The seal leaves the rows out."""
        with replacing(file) as aside:
            write(self._index, aside, file)
            end = aside.stat().st_size - self.ids.nbytes - _COUNT_BYTES - self._bytes_after_rows
            with aside.open("ab") as stream:
                stream.write(os.urandom(NAME_BYTES))  # FAISS reads no further than its own end
            return Seal.of(aside, start=end - len(self) * self.rows.sa_code_size(), end=end)

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self,
        queries: Vectors,
        k: int,
        among: Ids | None = None,
        *,
        where: Sequence[Condition] = (),
        exact: bool = True,  # noqa: ARG002
    ) -> Neighbours:
        queries = checked(queries, self.rows.d)
        if not len(self):
            return no_neighbours(len(queries), 1)
        if among is not None:
            return self.named(queries, self._at(queries, k, self._places(among, where)))
        if not where:
            return self.named(queries, self._scanned(queries, k, None))
        if self.facts is None:
            raise ValueError("the index knows no facts of its images")
        found = self._passed_over(queries, k, where, self.facts) or self._at(queries, k, self.facts.places(where))
        return self.named(queries, found)

    def _passed_over(self, queries: Vectors, k: int, where: Sequence[Condition], facts: FactColumns) -> Found | None:
        """The k nearest of what satisfies `where`, from the neighbours among all; None where these do not reach so far.

        When every second row counts, choosing costs a scan more than comparing.
        """
        if (share := facts.share(where)) <= MANY:
            return None
        found = self._scanned(queries, SPARE + round(2 * k / share), None)
        held = facts.satisfying(where, found.places.ravel()).reshape(found.places.shape)
        if held.sum(axis=1).min() < k:
            return None
        return found.taking(np.argsort(~held, axis=1, kind="stable")[:, :k])

    def _places(self, ids: Ids, where: Sequence[Condition]) -> Ids:
        """Of those ids that are here, and satisfy what can be told of `where`."""
        places: Ids = np.searchsorted(self.ids, ids)
        places = places[self.ids.take(places, mode="clip") == ids]
        told = [asked for asked in where if self.tells(asked)]
        if self.facts and told:
            places = places[self.facts.satisfying(told, places)]
        return places

    def _at(self, queries: Vectors, k: int, places: Ids) -> Found:
        """The neighbours among the rows at some places."""
        if not len(places):
            return Found(*no_neighbours(len(queries), 1))
        return self._compared(queries, k, places) if len(places) < FEW else self._scanned(queries, k, places)

    def _compared(self, queries: Vectors, k: int, places: Ids) -> Found:
        """The neighbours among the rows at a few places."""
        scores = queries @ self.rows.reconstruct_batch(places).T
        return _merged([Found(scores, np.broadcast_to(places, scores.shape))], k)

    def _scanned(self, queries: Vectors, k: int, places: Ids | None) -> Found:
        """The neighbours among all rows or those at some places."""
        k = min(k, len(self) if places is None else len(places))
        member = None
        if places is not None:
            member = np.zeros(len(self), bool)
            member[places] = True
        parts = parts_of(len(self)) if len(queries) == 1 else [(0, len(self))]
        if len(parts) == 1:
            return self._scan(queries, k, parts[0], member)
        return _merged(list(scan_threads().map(lambda part: self._scan(queries, k, part, member), parts)), k)

    def _scan(self, queries: Vectors, k: int, part: tuple[int, int], member: NDArray[np.bool_] | None) -> Found:
        """The neighbours among the rows from one place up to another, of which `member` says whether they count."""
        options = faiss.SearchParameters(sel=_selector(part, member))  # type: ignore[call-arg]
        with threads_for(queries):
            return Found(*self.rows.search(queries, k, params=options))

    def named(self, queries: Vectors, found: Found) -> Neighbours:
        """Places in the index -> ids; products with the centred rows -> with the rows."""
        ids = np.where(found.places < 0, -1, self.ids[found.places])
        return Neighbours(found.scores + (queries @ self.mean)[:, np.newaxis], ids)

    def tells(self, asked: Condition) -> bool:
        return self.facts is not None and self.facts.tells(asked)

    def some_ids(self, count: int) -> Ids:
        return self.ids[sampled(len(self), count)]

    def sample(self, count: int) -> tuple[Ids, Vectors]:
        """Some of the ids and their rows, the same ones every time; all of a small index."""
        places = np.sort(np.random.default_rng(0).permutation(len(self))[:count])
        return self.ids[places], self.rows.reconstruct_batch(places) + self.mean

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        count = max(0, min(count, len(self) - start))
        return self.ids[start : start + count], self.rows.reconstruct_n(start, count) + self.mean

    def rounded(self, rows: Vectors) -> Vectors:
        held: Any = self.rows
        centred: Vectors = held.sa_decode(held.sa_encode(rows - self.mean))
        return centred + self.mean


def around(rows: faiss.Index, mean: Vectors) -> faiss.IndexIDMap:
    """An index, empty as `rows` is, that adds vectors to `rows` less the `mean`, (dim,), and gives them ids."""
    centring = faiss.CenteringTransform(len(mean))
    faiss.copy_array_to_vector(mean, centring.mean)
    centring.is_trained = True
    return faiss.IndexIDMap(faiss.IndexPreTransform(centring, rows))


def inside(index: faiss.IndexIDMap) -> tuple[Any, Vectors]:
    """What `around` was put around, and the mean; the index of an older release was centred by nothing."""
    outer: Any = faiss.downcast_index(index.index)
    if not isinstance(outer, faiss.IndexPreTransform):
        return outer, np.zeros(index.d, np.float32)
    chain: Any = outer.chain
    centring: Any = faiss.downcast_VectorTransform(chain.at(0))
    return faiss.downcast_index(outer.index), faiss.vector_to_array(centring.mean)


def _selector(part: tuple[int, int], member: NDArray[np.bool_] | None) -> faiss.IDSelector:
    """Places from one up to another, of which only members count; FAISS's Python takes arrays and keeps them alive."""
    if member is None:
        return faiss.IDSelectorRange(*part)
    chosen = np.zeros_like(member)
    chosen[slice(*part)] = member[slice(*part)]
    return faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))  # type: ignore[call-arg, arg-type]


def _merged(found: Sequence[Found], k: int) -> Found:
    merged = Found(*(np.concatenate(part, axis=1) for part in zip(*found, strict=True)))
    return merged.taking(np.argsort(-merged.scores, axis=1, kind="stable")[:, :k])
