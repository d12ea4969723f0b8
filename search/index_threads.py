"""How many threads search an index: of OpenMP for many queries at once; of our own, a range of rows each, for one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from itertools import pairwise

import faiss

from search.index import Vectors

ROWS_A_THREAD = 20_000
"""A single query is scanned by several threads when each has as many rows."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it FAISS takes no threads beside the calling one."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def threads_for(queries: Vectors) -> AbstractContextManager[None]:
    """A single query gains nothing by OpenMP's threads, and these keep a core busy for a while after it."""
    return one_thread() if len(queries) == 1 else nullcontext()


def parts_of(count: int) -> list[tuple[int, int]]:
    """As many ranges of rows as threads are worth waking for."""
    threads = max(1, min(faiss.omp_get_max_threads(), count // ROWS_A_THREAD))
    ends = [count * number // threads for number in range(threads + 1)]
    return list(pairwise(ends))


@cache
def scan_threads() -> ThreadPoolExecutor:
    """For all indexes together, so that searches at once do not take more threads than the machine has."""
    return ThreadPoolExecutor(faiss.omp_get_max_threads(), "index")
