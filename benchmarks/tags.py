"""Tagging 100,000 stored vectors with 1,000 labels, and what hiding images with a sensitive tag costs a search.

    python -m benchmarks.tags

Vectors of images and labels are random, 512 dimensions, at the logit scale of CLIP; no model runs.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.vectors import make_collection, unit_rows
from search.classify import Classifier
from search.collection import Collection
from search.filters import Filter
from search.query import VectorTerm
from search.searcher import Searcher
from search.settings import TAG_THRESHOLD
from search.types import EncoderIdentity, Logits
from search.vocabulary import Vocabulary

IMAGES, LABELS, DIM = 100_000, 1_000, 512
LOGIT_SCALE = 100.0
QUERIES = 100
IDENTITY = EncoderIdentity("random", "random", "0" * 64, DIM, "none")


def main() -> None:
    generator = np.random.default_rng(1)
    labels = unit_rows(generator, LABELS, DIM)
    with tempfile.TemporaryDirectory() as scratch:
        make_collection(Path(scratch) / "collection", IDENTITY, IMAGES)
        collection = Collection.open(Path(scratch) / "collection")
        queries = unit_rows(generator, QUERIES, DIM)
        for sensitive in (0, 1, 50):
            tag(collection, vocabulary(labels, sensitive))
            print("  " + figures(collection, queries))
        print("  queries for what is hidden: " + figures(collection, labels[:50]))
        print("  one tag: " + figures(collection, queries, 'tag:"label 100"'))


def vocabulary(vectors: np.ndarray, sensitive: int) -> Vocabulary:
    """The first labels, as many as `sensitive` says, are sensitive."""
    names = tuple(f"label {number}" for number in range(LABELS))
    return Vocabulary(
        Classifier(names, vectors, Logits(LOGIT_SCALE)),
        np.full(LABELS, TAG_THRESHOLD, np.float32),
        np.arange(LABELS) < sensitive,
    )


def tag(collection: Collection, labels: Vocabulary) -> None:
    started = time.perf_counter()
    collection.tag(labels)
    seconds = time.perf_counter() - started
    tags, hidden = sum(count.images for count in collection.catalog.tags.counts()), collection.catalog.tags.hidden
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        f"{IMAGES:,} x {LABELS:,}: {seconds:.1f} s, {tags:,} tags, {len(hidden('images')):,} images are hidden; ",
        end="",
    )
    print(f"peak {peak_mb:,.0f} MB")


def figures(collection: Collection, queries: np.ndarray, where: str = "") -> str:
    """Medians of searches by a vector, with sensitive images shown and hidden, which take turns."""
    searcher = Searcher(collection, lambda: None)  # type: ignore[arg-type, return-value]
    ways = {"shown": Filter.parse(where, show_sensitive=True), "hidden": Filter.parse(where)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for query in [queries[0], *queries]:
        for name, asked in ways.items():
            started = time.perf_counter()
            searcher.page([VectorTerm(query)], where=asked)
            taken[name].append(time.perf_counter() - started)
    return ", ".join(f"{name} {1000 * statistics.median(times[1:]):.2f} ms" for name, times in taken.items())


if __name__ == "__main__":
    main()
