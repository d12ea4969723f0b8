"""An index -> the near neighbours of its own vectors, looked for in cells: all of them in the time of a few scans.

An inverted file (Jégou et al. 2011) of float16 rows. A text's neighbours, which lie apart from it, would be missed; a
picture that looks nearly the same lies in the same cell or in one beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from search.index import Neighbours, VectorIndex, Vectors

Ask = Callable[[Vectors, int], Neighbours]
"""(n, dim) unit rows and k -> the k nearest of each, with scores as an index gives them."""

_CELL = 200
"""About so many vectors share a cell."""

_PROBES = 16
"""Of 105,000 vectors like those of CLIP, 5,000 of them near copies of others, 8 cells miss 8 and 16 miss 2."""

_SAMPLES_A_CELL = 40
_ROWS_AT_ONCE = 50_000
_SEED = 0


def in_cells(index: VectorIndex, dim: int) -> Ask:
    """What looks into the nearest cells only. All rows are held in memory meanwhile, in float16."""
    cells = max(1, len(index) // _CELL)
    inverted: faiss.IndexIVF = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(dim), dim, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False
    )
    inverted.train(_sample(index, cells * _SAMPLES_A_CELL, dim))
    for start in range(0, len(index), _ROWS_AT_ONCE):
        ids, rows = index.contents(start, _ROWS_AT_ONCE)
        inverted.add_with_ids(rows, ids)
    inverted.nprobe = _PROBES

    def ask(rows: Vectors, k: int) -> Neighbours:
        squared, ids = inverted.search(rows, k)
        return Neighbours((1 - squared / 2).astype(np.float32), ids)

    return ask


def _sample(index: VectorIndex, count: int, dim: int) -> Vectors:
    """`count` rows, all of a small index."""
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(index))[:count])
    parts = [np.zeros((0, dim), np.float32)]
    for start in range(0, len(index), _ROWS_AT_ONCE):
        here = chosen[(start <= chosen) & (chosen < start + _ROWS_AT_ONCE)] - start
        parts.append(index.contents(start, _ROWS_AT_ONCE)[1][here])
    return np.concatenate(parts)
