"""A Milvus server beside this project's indexes: recall, one query, and queries under a filter.

    pip install pymilvus milvus==2.3.5
    milvus-server --data DIR --proxy-port 19530
    python -m benchmarks.milvus FOLDER [COUNT] [--server http://127.0.0.1:19530]

FOLDER holds a make_vectors.py, as for benchmarks.indexes. Contestants take turns query by query; read the ratios.
Recall@10 is against FAISS's flat index of the float32 vectors. Milvus is asked at consistency Strong, as after a build,
and Eventually. Under a filter a share of the images passes: by a scalar field inside Milvus, by ids with FAISS and with
Milvus too where they are few.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from pymilvus import DataType, MilvusClient

from benchmarks.indexes import K, published, recall, take_turns
from search.index import Ids, Vectors

NAME = "benchmark"
QUERIES = 30
SHARES = (0.5, 0.05, 0.005)
FEW = 5_000
"""So many ids are asked for one by one in an expression."""

_ROWS_A_TIME = 5_000
_KINDS = {"FLAT": ({}, {}), "HNSW": ({"M": 32, "efConstruction": 200}, {"ef": 512})}
"""Kinds of Milvus's index: how they are built, how they are searched."""

Ask = Callable[[Vectors], Ids]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--server", default="http://127.0.0.1:19530")
    arguments = parser.parse_args()
    rows, images, texts = runpy.run_path(str(arguments.folder / "make_vectors.py"))["make"](arguments.count)
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    client = MilvusClient(uri=arguments.server)
    print(f"{len(rows):,} vectors of {rows.shape[1]} dimensions, {faiss.omp_get_max_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        indexes = published(rows, Path(folder))
        for kind in _KINDS:
            fill(client, kind, rows)
        asks: dict[str, Ask] = {
            f"FAISS, {kind}": lambda queries, index=index: index.search(queries, K).ids  # type: ignore[misc]
            for kind, index in indexes.items()
        }
        for kind in _KINDS:
            for level in ("Strong", "Eventually"):
                asks[f"Milvus, {kind}, {level}"] = lambda queries, kind=kind, level=level: ask(  # type: ignore[misc]
                    client, kind, queries, level
                )
        times = take_turns(asks, texts[:QUERIES])
        for name, answer in asks.items():
            shares = [recall(answer(queries), flat.search(queries, K)[1]) for queries in (texts, images)]
            print(f"{name:28} recall {shares[0]:.4f} {shares[1]:.4f}  {1000 * statistics.median(times[name]):8.1f} ms")
        scan = indexes["scan"]
        for share in SHARES:
            under_a_filter(client, lambda queries, ids: scan.search(queries, K, ids).ids, flat, texts[:QUERIES], share)
    for kind in _KINDS:
        client.drop_collection(f"{NAME}_{kind}")


def fill(client: MilvusClient, kind: str, rows: Vectors) -> None:
    """A collection of the rows under their places, with a number from 0 to 999 to filter by."""
    started = time.perf_counter()
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("number", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.shape[1])
    index = client.prepare_index_params()
    index.add_index("vector", index_type=kind, metric_type="IP", params=_KINDS[kind][0])
    client.drop_collection(f"{NAME}_{kind}")
    client.create_collection(f"{NAME}_{kind}", schema=schema)
    for start in range(0, len(rows), _ROWS_A_TIME):
        some = rows[start : start + _ROWS_A_TIME]
        client.insert(
            f"{NAME}_{kind}",
            [{"id": id_, "number": id_ * 7919 % 1000, "vector": row} for id_, row in enumerate(some, start)],
        )
    client.flush(f"{NAME}_{kind}")
    client.create_index(f"{NAME}_{kind}", index)
    client.load_collection(f"{NAME}_{kind}")
    print(f"build: Milvus, {kind} {time.perf_counter() - started:.1f} s", flush=True)


def ask(client: MilvusClient, kind: str, queries: Vectors, level: str, where: str = "") -> Ids:
    found = client.search(
        f"{NAME}_{kind}",
        list(queries),
        limit=K,
        filter=where,
        consistency_level=level,
        search_params={"metric_type": "IP", "params": _KINDS[kind][1]},
    )
    return np.array([[hit["id"] for hit in hits] for hits in found])


def under_a_filter(
    client: MilvusClient, scan: Callable[[Vectors, Ids], Ids], flat: faiss.IndexFlatIP, texts: Vectors, share: float
) -> None:
    """Of `share` of the rows, the K nearest."""
    among = np.array([place for place in range(flat.ntotal) if place * 7919 % 1000 < 1000 * share])
    where = f"number < {int(1000 * share)}"
    asks: dict[str, Ask] = {
        "FAISS, by ids": lambda queries: scan(queries, among),
        "Milvus, FLAT, by a field": lambda queries: ask(client, "FLAT", queries, "Eventually", where),
        "Milvus, HNSW, by a field": lambda queries: ask(client, "HNSW", queries, "Eventually", where),
    }
    if len(among) <= FEW:
        ids = f"id in {among.tolist()}"
        asks["Milvus, FLAT, by ids"] = lambda queries: ask(client, "FLAT", queries, "Eventually", ids)
    true = flat.search(texts, K, params=faiss.SearchParameters(sel=faiss.IDSelectorBatch(among)))[1]  # type: ignore[call-arg]
    times = take_turns(asks, texts)
    for name, answer in asks.items():
        print(
            f"{len(among):7,} pass  {name:26} recall {recall(answer(texts), true):.4f}  "
            f"{1000 * statistics.median(times[name]):8.1f} ms"
        )


if __name__ == "__main__":
    main()
