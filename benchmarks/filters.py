"""What a filter costs, SQL included: pages of one query among all images and among those that match.

    python -m benchmarks.filters [COUNT]

Makes a collection of COUNT (a million) random vectors of 512 dimensions with times, sizes, formats, cameras and places;
filters match half of them, 5 %, 0.5 % and ten. Read the ratios to `all, exact`, which compares every vector.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.vectors import make_collection, unit_rows
from search.collection import Collection
from search.encoder import Encoder
from search.filters import Filter
from search.index import Vectors
from search.query import VectorTerm
from search.searcher import Searcher
from search.types import EncoderIdentity, Facts, Hit

IMAGES = 1_000_000
DIM = 512
K = 20
QUERIES = 15
MINUTES_APART = 5
START = datetime(2015, 1, 1)


def main(images: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        make_collection(directory, EncoderIdentity("none", "none", "none", DIM, "none"), images, facts)
        collection = Collection.open(directory)
        searcher = Searcher(collection, no_encoder)
        compare(collection, searcher, unit_rows(np.random.default_rng(1), QUERIES, DIM))


def compare(collection: Collection, searcher: Searcher, queries: Vectors) -> None:
    """Contestants take turns query by query."""
    count = len(collection.index("images"))
    last = START + timedelta(minutes=MINUTES_APART * (count - 10))
    wheres = {
        "50 %": "width>=3000",
        "5 %": 'camera:"X100" width>=3000',
        "0.5 %": 'camera:"X100" format:png width>=3000',
        "10": f"taken>={last:%Y-%m-%d}",
    }
    filters = {share: Filter.parse(where) for share, where in wheres.items()}
    ids, rows = collection.index("images").contents(0, count)
    asks: dict[str, Callable[[Vectors], object]] = {
        "all": lambda query: searcher.search([VectorTerm(query)], k=K, ranking="cosine"),
        "all, exact": lambda query: searcher.search([VectorTerm(query)], k=K, ranking="cosine", exact=True),
    }
    for share, where in filters.items():
        asks[share] = lambda query, where=where: among(searcher, query, where)  # type: ignore[misc]
    first = {name: seconds(lambda ask=ask: ask(queries[0])) for name, ask in asks.items()}  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in asks}
    for query in queries:
        for name, ask in asks.items():
            times[name].append(seconds(lambda ask=ask, query=query: ask(query)))  # type: ignore[misc]
    exact = statistics.median(times["all, exact"])
    for name in asks:
        median = statistics.median(times[name])
        line = f"{name:12} first {1000 * first[name]:7.1f} ms, then {1000 * median:7.1f} ms: {median / exact:.2f}"
        if name in filters:
            matching = collection.catalog.matching(filters[name], "images")
            order = np.argsort(-(queries @ rows[np.searchsorted(ids, matching)].T), axis=1)[:, :K]
            found = [[hit.id for hit in among(searcher, query, filters[name])] for query in queries]
            shares = [np.isin(matching[best], some).mean() for best, some in zip(order, found, strict=True)]
            line += f"; {len(matching):,} match, recall {np.mean(shares):.4f}"
        print(line)


def among(searcher: Searcher, query: Vectors, where: Filter) -> list[Hit]:
    return searcher.search([VectorTerm(query)], k=K, where=where, ranking="cosine")


def facts(number: int) -> Facts:
    random = np.random.default_rng(number)
    return Facts(
        width=int(random.choice([1000, 2000, 3000, 4000])),
        height=1500,
        format="PNG" if random.random() < 0.1 else "JPEG",
        taken_at=START + timedelta(minutes=MINUTES_APART * number),
        camera="FUJIFILM X100V" if random.random() < 0.1 else "Canon EOS R6",
        latitude=float(random.uniform(-60, 60)),
        longitude=float(random.uniform(-180, 180)),
    )


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def no_encoder() -> Encoder:
    raise RuntimeError("only vectors are asked with")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:])) if sys.argv[1:] else main(IMAGES)
