"""What a filter costs, SQL included: pages of one query among all images and among those that match.

    python -m benchmarks.filters [COUNT]

Makes a collection of COUNT (a million) random vectors of 512 dimensions with times, sizes, formats, cameras and places,
in folders and with tags; filters match half of them, 5 %, 0.5 % and ten. Read the ratios to `all, exact`, which
compares every vector, of processor time where other work runs beside; `flat` is FAISS's exact search in float32.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import faiss
import numpy as np

from benchmarks.vectors import make_collection, unit_rows
from search.classify import Classifier
from search.collection import Collection
from search.encoder import Encoder
from search.filters import Filter
from search.index import Vectors
from search.query import VectorTerm
from search.searcher import Searcher
from search.source import Source
from search.types import EncoderIdentity, Facts, Hit, Logits
from search.vocabulary import Vocabulary

IMAGES = 1_000_000
DIM = 512
K = 20
QUERIES = 15
MINUTES_APART = 5
START = datetime(2015, 1, 1)

Taken = tuple[float, float]
"""Seconds: of the clock, of the processor."""


def main(images: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        make_collection(directory, EncoderIdentity("none", "none", "none", DIM, "none"), images, facts)
        collection = Collection.open(directory)
        labels = Classifier(("one", "other"), unit_rows(np.random.default_rng(2), 2, DIM), Logits(100.0))
        collection.tag(Vocabulary(labels, np.full(2, 0.5, np.float32), np.zeros(2, bool)))
        searcher = Searcher(collection, no_encoder)
        compare(collection, searcher, unit_rows(np.random.default_rng(1), QUERIES, DIM))


def compare(collection: Collection, searcher: Searcher, queries: Vectors) -> None:
    """Contestants take turns query by query, and ask twice: what a filter left behind serves its next query."""
    count = len(collection.index("images"))
    last = START + timedelta(minutes=MINUTES_APART * (count - 10))
    wheres = {
        "50 %": "width>=3000",
        "5 %": 'camera:"X100" width>=3000',
        "0.5 %": 'camera:"X100" format:png width>=3000',
        "10": f"taken>={last:%Y-%m-%d}",
        "half around": "near:0,0,9000km",
        "folder, 50 %": "folder:/photos/0",
        "folder, 5 %": "folder:/photos/0/0",
        "tag, 50 %": "tag:one",
    }
    filters = {share: Filter.parse(where) for share, where in wheres.items()}
    stored = Source(collection.catalog, DIM).vectors("images")  # the rows of the index are rounded
    ids, rows = (np.concatenate(part) for part in zip(*stored, strict=True))
    flat = faiss.IndexFlatIP(DIM)
    flat.add(rows)
    asks: dict[str, Callable[[Vectors], object]] = {
        "all": lambda query: searcher.search([VectorTerm(query)], k=K, ranking="cosine"),
        "all, exact": lambda query: searcher.search([VectorTerm(query)], k=K, ranking="cosine", exact=True),
    }
    for share, where in filters.items():
        asks[share] = lambda query, where=where: among(searcher, query, where)  # type: ignore[misc]
    asks["flat"] = lambda query: flat.search(query[np.newaxis], K)
    first = {name: taken(lambda ask=ask: ask(queries[0]))[0] for name, ask in asks.items()}  # type: ignore[misc]
    times: dict[str, list[Taken]] = {name: [] for name in asks}
    again: dict[str, list[Taken]] = {name: [] for name in asks}
    for query in queries:
        for name, ask in asks.items():
            for some in (times, again):
                some[name].append(taken(lambda ask=ask, query=query: ask(query)))  # type: ignore[misc]
    exact = [statistics.median(one) for one in zip(*times["all, exact"], strict=True)]
    for name in asks:
        medians = [[statistics.median(one) for one in zip(*some[name], strict=True)] for some in (times, again)]
        line = f"{name:12} first {1000 * first[name]:7.1f} ms, then {1000 * medians[0][0]:7.1f} ms" + "".join(
            f"; {what} {mine[0] / exact[0]:.2f}, of processor time {mine[1] / exact[1]:.2f}"
            for what, mine in zip(("turn by turn", "again"), medians, strict=True)
        )
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


def taken(run: Callable[[], object]) -> Taken:
    started = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def no_encoder() -> Encoder:
    raise RuntimeError("only vectors are asked with")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:])) if sys.argv[1:] else main(IMAGES)
