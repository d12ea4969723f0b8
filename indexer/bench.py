"""Builds and queries, measured: where the time goes, how near it is to the machine's limit, and to the plain loop."""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.build import Options, build
from indexer.plain_loop import PlainLoop
from indexer.scan import scan
from search.collection import Collection
from search.errors import CollectionError
from search.searcher import Searcher
from search.timing import Stage
from search.types import Root

if TYPE_CHECKING:
    from search.encoder import Encoder

QUERY = "two brown dogs run along the beach behind a red ball in the evening"
"""15 tokens."""

QUERIES, TURN = 30, 5
"""Text queries, and how many before the padded tower has its turn: PyTorch's threads stay awake into the next one."""

COLD_STARTS = 3

LoadEncoder = Callable[[], "Encoder"]


class Bench:
    """Measures one encoder on sets of pictures. Contestants take turns, round by round; what counts are medians.

    `folders` maps a name to a folder of pictures; collections are made in `scratch`.
    """

    def __init__(self, folders: Mapping[str, Path], scratch: Path, load: LoadEncoder, options: Options) -> None:
        self._folders = folders
        self._scratch = scratch
        self._load = load
        self._options = options
        self._made = 0

    def run(self, rounds: int, *, against: bool) -> dict[str, Any]:
        """All of it, as JSON values: rates in images a second, times in seconds, memory in bytes."""
        for folder in self._folders.values():  # warms up, and alone shows how much memory a build takes
            self._build(folder)
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        plain = PlainLoop(self._load().identity.model)
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in self._folders}
        for _ in range(rounds):
            for name, folder in self._folders.items():
                facts = self._build(folder)
                facts["limit"] = plain.limit()
                facts["share_of_limit"] = facts["images_per_second"] / facts["limit"]
                if against:
                    facts["plain_loop"] = self._plain(plain, folder)
                    facts["times_plain_loop"] = facts["images_per_second"] / facts["plain_loop"]
                taken[name].append(facts)
        return {
            "model": self._load().identity.model,
            "rounds": rounds,
            "builds": {name: _medians(facts) for name, facts in taken.items()},
            "queries": self._queries(plain),
            "cold_start_seconds": statistics.median(self._cold_start() for _ in range(COLD_STARTS)),
            "peak_bytes": peak_bytes,
        }

    def _build(self, folder: Path) -> dict[str, float]:
        """One build of a new collection. Raises CollectionError where there is no picture."""
        self._made += 1
        with closing(Collection.create(self._directory, self._load().identity)) as collection, collection.writing():
            report = build(
                collection,
                [Root(str(folder))],
                self._load,
                options=self._options,
                progress=lambda *_: None,
                stop=threading.Event(),
            )
        if not report.encoded:
            raise CollectionError(f"{folder}: no picture is there that can be read")
        stages = [f"{stage}_seconds" for stage in ("decode", "wait", "encode", "write", "publish")]
        return {name: getattr(report, name) for name in ("images_per_second", "seconds", *stages)}

    @property
    def _directory(self) -> Path:
        """Of the collection that was made last."""
        return self._scratch / f"collection-{self._made}"

    def _plain(self, plain: PlainLoop, folder: Path) -> float:
        paths = [file.stamp.path for file in scan(Root(str(folder))).files]
        return plain.images_per_second(paths, batch_size=self._options.batch_size, workers=self._options.workers)

    def _queries(self, plain: PlainLoop) -> dict[str, Any]:
        """Text queries over the last collection by stage, beside the text tower alone, padded as the tokenizer pads."""
        stages: dict[str, list[float]] = {"encode": [], "index": [], "hydrate": []}
        whole, padded = [], []

        def observe(stage: Stage, seconds: float) -> None:
            stages[stage].append(seconds)

        with closing(Collection.open(self._directory)) as collection:
            searcher = Searcher(collection, self._load, observe=observe)
            searcher.by_text(QUERY)
            for taken in stages.values():
                taken.clear()
            for turn in range(QUERIES // TURN):
                for number in range(TURN):
                    text = _in_another_order(QUERY, turn * TURN + number)
                    started = time.perf_counter()
                    searcher.by_text(text)
                    whole.append(time.perf_counter() - started)
                padded += [plain.seconds_of_padded_text(QUERY) for _ in range(TURN)]
        times = {"all": whole, **stages, "text_padded": padded}
        return {
            **{name: {"p50": _percentile(taken, 50), "p95": _percentile(taken, 95)} for name, taken in times.items()},
            "padded_times_encode": statistics.median(padded) / statistics.median(stages["encode"]),
        }

    def _cold_start(self) -> float:
        """A query from the shell."""
        words = [sys.executable, "-m", "search", QUERY, "--collection", str(self._directory), "--paths"]
        started = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        return time.perf_counter() - started


def _in_another_order(text: str, seed: int) -> str:
    """As many tokens, but never asked before: a searcher keeps the vectors of its texts."""
    words = text.split()
    return " ".join(random.Random(seed).sample(words, len(words)))


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(facts[name] for facts in rounds) for name in rounds[0]}


def _percentile(taken: Sequence[float], percent: int) -> float:
    return float(np.percentile(taken, percent))
