"""The scanned index: short codes of all vectors are compared, and the best of them again as they are, in float16.

Every code is looked at, since texts lie apart from pictures: of the neighbours of a text, cells and graphs that were
made for pictures miss a tenth to a half. What makes the codes good is which dimensions share one. Along the principal
axes, the strongest goes with the weakest, the second with the last but one, and so on; each pair gets four bits, and so
the strong axes get nearly all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import faiss
import numpy as np

from search.exact_index import ExactIndex, Found, around
from search.expression import Condition
from search.index import Ids, Neighbours, Vectors, checked
from search.index_threads import one_thread, threads_for

MOST_DIMS = 512
"""Of longer vectors the weakest principal axes are left out of the codes."""

CANDIDATES = 1_000
"""How many rows are compared again, besides CANDIDATES_A_HIT for each hit that is asked for."""

CANDIDATES_A_HIT = 10

EXACT_SHARE = 8
"""When as much as an eighth of the rows would be compared again, all are compared once."""

_BITS = 4
_FACTOR_OF = 100
_ROWS_A_TIME = 50_000


class ScanIndex(ExactIndex):
    """FAISS's fast scan of product codes, refined by the float16 rows. The rows are mapped, the codes read into memory.

    `candidates` rows are compared again, and some for each hit that is asked for.
    """

    kind = "scan"
    _bytes_after_rows = 4

    def __init__(self, index: faiss.IndexIDMap) -> None:
        super().__init__(index)
        self._refined = self.rows
        self.rows = faiss.downcast_index(self._refined.refine_index)
        self._rows_of: ExactIndex | None = None

    @classmethod
    def over(cls, exact: ExactIndex, codes: faiss.IndexPreTransform) -> Self:
        """The rows of `exact`, found by `codes`, which are trained and empty."""
        refined: Any = faiss.IndexRefine(codes, faiss.IndexFlat(exact.rows.d, faiss.METRIC_INNER_PRODUCT))
        index = around(refined, exact.mean)  # takes an empty index only: it is filled from here on
        for start in range(0, len(exact), _ROWS_A_TIME):
            codes.add(exact.contents(start, _ROWS_A_TIME)[1])
        refined.refine_index = exact.rows
        faiss.copy_array_to_vector(exact.ids, index.id_map)
        refined.ntotal = index.index.ntotal = index.ntotal = len(exact)
        made = cls(index)
        made._rows_of = exact  # FAISS holds no reference
        made.candidates = CANDIDATES
        return made

    @property
    def candidates(self) -> int:
        return round(float(self._refined.k_factor) * _FACTOR_OF)  # FAISS's file keeps it; a search gives its own factor

    @candidates.setter
    def candidates(self, count: int) -> None:
        self._refined.k_factor = count / _FACTOR_OF

    def search(
        self,
        queries: Vectors,
        k: int,
        among: Ids | None = None,
        *,
        where: Sequence[Condition] = (),
        exact: bool = False,
    ) -> Neighbours:
        candidates = self.candidates + CANDIDATES_A_HIT * k
        if exact or among is not None or where or EXACT_SHARE * candidates > len(self):
            return super().search(queries, k, among, where=where)
        factor = faiss.IndexRefineSearchParameters(k_factor=candidates / k)  # type: ignore[call-arg]
        with threads_for(queries):
            found = Found(*self._refined.search(checked(queries, self.rows.d), k, params=factor))
        return self.named(queries, found)

    def codes(self) -> faiss.IndexPreTransform:
        """Codes that are trained like those in use, and empty."""
        used: Any = faiss.downcast_index(self._refined.base_index)
        scan: Any = faiss.downcast_index(used.index)
        return _codes(faiss.downcast_VectorTransform(used.chain.at(0)), scan.pq)


def train_codes(sample: Vectors) -> faiss.IndexPreTransform:
    """Codes for vectors like those of `sample`, (n, dim) rows of at least 16; they hold none yet."""
    dim = sample.shape[1]
    axes = faiss.PCAMatrix(dim, dim)
    axes.train(sample)
    kept = min(dim, MOST_DIMS) // 2 * 2
    pairs = np.stack([np.arange(kept // 2), np.arange(kept - 1, kept // 2 - 1, -1)], axis=1)
    rotation = faiss.LinearTransform(dim, kept, False)
    rows = faiss.vector_to_array(axes.A).reshape(dim, dim)[pairs.ravel()]
    faiss.copy_array_to_vector(np.ascontiguousarray(rows).ravel(), rotation.A)
    rotation.is_trained = True
    quantizer = faiss.ProductQuantizer(kept, kept // 2, _BITS)
    with one_thread():
        quantizer.train(rotation.apply(sample))
    return _codes(rotation, quantizer)


def _codes(rotation: faiss.VectorTransform, quantizer: faiss.ProductQuantizer) -> faiss.IndexPreTransform:
    scan = faiss.IndexPQFastScan(quantizer.d, quantizer.M, _BITS, faiss.METRIC_INNER_PRODUCT)
    scan.pq, scan.is_trained = quantizer, True
    return faiss.IndexPreTransform(rotation, scan)
