"""Kinds of index over vectors like those of CLIP: recall of text and image queries, speed, memory, filters.

    python -m benchmarks.indexes FOLDER [COUNT]... [--hnsw]

FOLDER holds a make_vectors.py whose `make(count)` gives images, image queries and text queries, unit rows. Contestants
take turns query by query; read the ratios. Recall@10 is against FAISS's flat index of the float32 vectors: as the kind
finds them, and ranked by the float32 vectors where it cannot tell neighbours apart, as every search does
(search/ranking.py); and against the exact index, whose rows are float16.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import faiss
import numpy as np

from search.exact_index import ExactIndex
from search.index import Ids, VectorIndex, Vectors
from search.kinds import open_index
from search.ranking import rank, ranked
from search.scan_index import ScanIndex, train_codes

K = 10
QUERIES = 100
SHARES = (0.05, 0.005)
"""Where more matches, neighbours among all are passed over (benchmarks/filters.py)."""

Ask = Callable[[Vectors], Ids]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("counts", type=int, nargs="*", default=[200_000])
    parser.add_argument("--hnsw", action="store_true", help="FAISS's HNSW32 too, which takes minutes to build")
    arguments = parser.parse_args()
    make = runpy.run_path(str(arguments.folder / "make_vectors.py"))["make"]
    for count in arguments.counts:
        measure(*make(count), hnsw=arguments.hnsw)


def measure(rows: Vectors, images: Vectors, texts: Vectors, *, hnsw: bool) -> None:
    print(f"\n{len(rows):,} vectors of {rows.shape[1]} dimensions, {faiss.omp_get_max_threads()} threads")
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    asks: dict[str, Ask] = {"flat fp32": lambda queries: flat.search(queries, K)[1]}
    with tempfile.TemporaryDirectory() as folder:
        indexes = published(rows, Path(folder))
        for index in indexes.values():
            asks[index.kind] = lambda queries, index=index: index.search(queries, K).ids  # type: ignore[misc]
        if hnsw:
            asks |= graphs(rows)
        stored = {"text": indexes["exact"].search(texts, K).ids, "image": indexes["exact"].search(images, K).ids}
        true = {"text": asks["flat fp32"](texts), "image": asks["flat fp32"](images)}
        times = take_turns(asks, texts)
        print("recall@10       of float32   ranked again       of exact     one query        8 at once             64")
        print("              text  image   text  image   text  image   ms a second    ms a second    ms a second")
        for name, ask in asks.items():
            found = {"text": ask(texts), "image": ask(images)}
            again = found
            if name in indexes:
                of_index = partial(ranked_again, indexes[name], rows)
                again = {"text": of_index(texts), "image": of_index(images)}
            shares = [
                recall(some[what], truth[what])
                for some, truth in ((found, true), (again, true), (found, stored))
                for what in ("text", "image")
            ]
            one, batch = statistics.median(times[name]), best_of(lambda ask=ask: ask(texts[:64]))  # type: ignore[misc]
            rates = [(one, 1 / one), at_once(ask, texts), (batch, len(texts[:64]) / batch)]
            print(
                f"{name:12}"
                + "".join(f"{share:7.4f}" for share in shares)
                + "".join(f"{1000 * latency:8.2f}{rate:7.0f}" for latency, rate in rates)
                + f"   {statistics.median(times['flat fp32']) / one:.1f} times flat"
            )
        filtered(indexes["scan"], texts)
        while_publishing(asks["scan"], texts, rows, Path(folder) / "next")


def ranked_again(index: VectorIndex, rows: Vectors, queries: Vectors) -> Ids:
    """As the searcher does, with the stored vectors of what the index cannot tell apart."""
    found = []
    for query in queries:
        near = {id_: rows[id_] for _, id_ in rank(index, query, K, None)}
        found.append([id_ for _, id_ in ranked(near, query)[:K]])
    return np.array(found)


def published(rows: Vectors, folder: Path) -> dict[str, VectorIndex]:
    """The project's kinds, written and opened as a reader opens them; ids are places."""
    started = time.perf_counter()
    exact = ExactIndex.build(rows.shape[1], [(np.arange(len(rows)), rows)])
    made = time.perf_counter()
    codes = train_codes(exact.sample(20_000)[1])
    trained = time.perf_counter()
    scan = ScanIndex.over(exact, codes)
    print(
        f"build: exact {made - started:.1f} s; scan {trained - made:.1f} s to train, "
        f"{time.perf_counter() - trained:.1f} s to encode"
    )
    seals = {made.kind: made.save(folder / f"{made.kind}.faiss") for made in (exact, scan)}
    opened: dict[str, VectorIndex] = {}
    for kind in ("exact", "scan"):
        before, started = anonymous_bytes(), time.perf_counter()
        opened[kind] = open_index(folder / f"{kind}.faiss", seals[kind])
        seconds = time.perf_counter() - started
        opened[kind].search(rows[:1], K)
        print(f"open {kind}: {seconds:.3f} s, {(anonymous_bytes() - before) / len(rows):.0f} bytes a vector unmapped")
    return opened


def graphs(rows: Vectors) -> dict[str, Ask]:
    started = time.perf_counter()
    graph = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.add(rows)
    print(f"build: HNSW32 {time.perf_counter() - started:.1f} s")

    def ask(queries: Vectors, ef: int) -> Ids:
        return graph.search(queries, K, params=faiss.SearchParametersHNSW(efSearch=ef))[1]  # type: ignore[attr-defined]

    return {f"HNSW32, ef {ef}": lambda queries, ef=ef: ask(queries, ef) for ef in (64, 512)}  # type: ignore[misc]


def filtered(index: VectorIndex, texts: Vectors) -> None:
    """Searches among some of the vectors beside the exact search among all."""
    random = np.random.default_rng(0)
    counts = [int(share * len(index)) for share in SHARES] + [10]
    among = {count: np.sort(random.permutation(len(index))[:count]) for count in counts}
    asks: dict[str, Ask] = {"all": lambda queries: index.search(queries, K, exact=True).ids}
    for count, ids in among.items():
        asks[f"{count:,}"] = lambda queries, ids=ids: index.search(queries, K, ids).ids  # type: ignore[misc]
    times = take_turns(asks, texts[:30])
    everything = index.contents(0, len(index))[1]
    for count, ids in among.items():
        true = ids[np.argsort(-(texts @ everything[ids].T), axis=1)[:, :K]]
        share = recall(index.search(texts, K, ids).ids, true)
        took, all_took = (statistics.median(times[name]) for name in (f"{count:,}", "all"))
        print(f"among {count:,}: recall {share:.4f}, {1000 * took:.2f} ms, {took / all_took:.2f} of comparing all")


def take_turns(asks: dict[str, Ask], queries: Vectors) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in asks}
    for row in queries[:QUERIES]:
        for name, ask in asks.items():
            started = time.perf_counter()
            ask(row[np.newaxis])
            times[name].append(time.perf_counter() - started)
    return times


def while_publishing(ask: Ask, queries: Vectors, rows: Vectors, folder: Path) -> None:
    """The same query again and again while another thread makes and writes the next indexes of the same rows."""
    folder.mkdir()
    alone = [best_of(lambda: ask(queries[:1]), 1) for _ in range(QUERIES)]
    with ThreadPoolExecutor(1) as pool:
        started = time.perf_counter()
        publication = pool.submit(published, rows, folder)
        beside = []
        while not publication.done():
            beside.append(best_of(lambda: ask(queries[:1]), 1))
        publication.result()
    print(
        f"beside a publication of {time.perf_counter() - started:.1f} s: {len(beside)} queries, p50 and longest "
        f"{1000 * statistics.median(beside):.2f} and {1000 * max(beside):.2f} ms; alone "
        f"{1000 * statistics.median(alone):.2f} and {1000 * max(alone):.2f}"
    )


def at_once(ask: Ask, queries: Vectors, clients: int = 8) -> tuple[float, float]:
    """The median time of a query while several threads ask, in seconds, and queries a second of all."""
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        times = list(pool.map(lambda row: best_of(lambda: ask(row[np.newaxis]), 1), queries[:QUERIES]))
        return statistics.median(times), len(times) / (time.perf_counter() - started)


def best_of(run: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)


def recall(found: Ids, true: Ids) -> float:
    return float(np.mean([np.isin(all_, some).mean() for some, all_ in zip(found, true, strict=True)]))


def anonymous_bytes() -> int:
    """What this process holds in memory besides mapped files."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
