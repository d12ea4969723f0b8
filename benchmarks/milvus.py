"""The index in a Milvus server beside those in files: recall, one query, and queries under a filter.

    pip install pymilvus milvus==2.3.5
    milvus-server --data DIR --proxy-port 19530
    python -m benchmarks.milvus FOLDER [COUNT] [--server 127.0.0.1:19530]

FOLDER holds a make_vectors.py, as for benchmarks.indexes. One collection is published as each kind, and the indexes are
asked as a search asks them; contestants take turns query by query, so read the ratios. Recall@10 is against FAISS's
flat index of the float32 vectors. A filter is given as a search gives it: the ids that SQL finds, and the condition.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import faiss

from benchmarks.indexes import Ask, K, recall, take_turns
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.filters import Filter
from search.index import VectorIndex, Vectors
from search.milvus_place import MilvusPlace
from search.milvus_server import connect
from search.types import EncoderIdentity, Facts, IndexPolicy

NAME = "benchmark"
QUERIES = 200
TIMED = 30
BACKGROUND = 100
FILTERS = ("width<=500", "width<=50", "width<=5")
"""Of widths from 1 to 1,000: a half, a twentieth and a two-hundredth of the images."""

_ROWS_A_TIME = 5_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--server", default="127.0.0.1:19530")
    arguments = parser.parse_args()
    rows, images, texts = runpy.run_path(str(arguments.folder / "make_vectors.py"))["make"](arguments.count)
    print(f"{len(rows):,} vectors of {rows.shape[1]} dimensions, {faiss.omp_get_max_threads()} threads")
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    url = f"milvus+http://{arguments.server}/{NAME}"
    kinds = ["exact", "scan", f"{url}?type=FLAT", f"{url}?type=IVF_FLAT"]
    with tempfile.TemporaryDirectory() as folder:
        identity = EncoderIdentity.claim("benchmark", rows.shape[1])
        with closing(Collection.create(Path(folder) / "collection", identity)) as collection:
            fill(collection, rows)
            collection.keep_background(texts[-BACKGROUND:])
            indexes = dict(published(collection, kinds))
            ask_all(indexes, flat, images[:QUERIES], texts[:QUERIES])
            for written in FILTERS:
                ask_filtered(collection, indexes, flat, texts[:TIMED], Filter.parse(written))
    drop(MilvusPlace.read(url))


def fill(collection: Collection, rows: Vectors) -> None:
    """Images of the rows, whose ids are the places in `rows` from 1 on."""
    for start in range(0, len(rows), _ROWS_A_TIME):
        added = [
            NewImage(FileStamp(f"/{place}", 1, 1), b"", Facts(place * 7919 % 1000 + 1, 1, "JPEG"), row)
            for place, row in enumerate(rows[start : start + _ROWS_A_TIME], start)
        ]
        collection.catalog.apply(Changes(added=added))


def published(collection: Collection, kinds: list[str]) -> Iterator[tuple[str, VectorIndex]]:
    """The index of each kind, as one that was published last; those before it stay open. One that finds too little is
    published as another, which its name says.
    """
    for kind in kinds:
        started = time.perf_counter()
        with collection.writing():
            collection.publish(IndexPolicy(kind))
        facts, index = collection.published().facts["images"], collection.index("images")
        print(f"published: {facts} {time.perf_counter() - started:.1f} s", flush=True)
        asked = kind.rpartition("type=")[2]
        yield index.kind if index.kind.endswith(asked) else f"{index.kind}, not {asked}", index


def ask_all(indexes: dict[str, VectorIndex], flat: faiss.IndexFlatIP, images: Vectors, texts: Vectors) -> None:
    asks: dict[str, Ask] = {
        kind: lambda queries, index=index: index.search(queries, K).ids - 1  # type: ignore[misc]
        for kind, index in indexes.items()
    }
    times = take_turns(asks, texts[:TIMED])
    for kind, ask in asks.items():
        shares = [recall(ask(queries), flat.search(queries, K)[1]) for queries in (texts, images)]
        print(f"{kind:25} recall {shares[0]:.4f} {shares[1]:.4f}  {1000 * statistics.median(times[kind]):8.1f} ms")


def ask_filtered(
    collection: Collection, indexes: dict[str, VectorIndex], flat: faiss.IndexFlatIP, texts: Vectors, where: Filter
) -> None:
    among = collection.catalog.matching(where, "images")
    asks: dict[str, Ask] = {
        kind: lambda queries, index=index: (  # type: ignore[misc]
            index.search(queries, K, among, where=where.conditions).ids - 1
        )
        for kind, index in indexes.items()
    }
    chosen = faiss.SearchParameters(sel=faiss.IDSelectorBatch(among - 1))  # type: ignore[call-arg]
    true = flat.search(texts, K, params=chosen)[1]
    times = take_turns(asks, texts)
    for kind, ask in asks.items():
        print(
            f"{len(among):7,} pass  {kind:25} recall {recall(ask(texts), true):.4f}  "
            f"{1000 * statistics.median(times[kind]):8.1f} ms"
        )


def drop(place: MilvusPlace) -> None:
    """Take what was published out of the server."""
    client = connect(place)
    for name in client.list_collections():
        if name.startswith(f"{place.name}_"):
            for alias in client.describe_collection(name)["aliases"]:
                client.drop_alias(alias)
            client.drop_collection(name)


if __name__ == "__main__":
    main()
