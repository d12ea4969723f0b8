"""`python -m tests.readers SECONDS`: eight processes query without pause while one builds, removes and repairs."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from search.changes import Changes
from search.collection import Collection
from search.query import VectorTerm
from search.searcher import Searcher
from search.verify import repair, verify
from tests.colors import ColorEncoder, unit_rows
from tests.faults import forked
from tests.scenarios import run_command, update

READERS = 8
PICTURES = 60


def vector_of(path: Path) -> np.ndarray:
    """A picture is called by its color."""
    (row,) = unit_rows(np.array([[int(value) for value in path.stem.split("-")[1:]]]))
    return row


class Writer:
    """Changes a folder and its collection; says in a file which pictures are out of it."""

    def __init__(self, place: Path) -> None:
        self._place, self._random, self._number = place, random.Random(1), 0
        (place / "photos").mkdir()
        self._removed = (place / "removed").open("a")
        self.rounds = 0

    def step(self) -> None:
        """Pictures come and go with a build, one goes by `remove`, and one behind the index, which is repaired."""
        photos = self._place / "photos"
        for _ in range(12):
            color = [self._random.randrange(256) for _ in range(3)]
            name = "-".join(map(str, (self._number, *color)))
            Image.new("RGB", (8 + self._number % 90, 8 + self._number // 90), tuple(color)).save(photos / f"{name}.png")
            self._number += 1
        held = sorted(photos.iterdir())
        gone = self._random.sample(held, max(0, len(held) - PICTURES))
        for file in gone:
            file.unlink()
        update(self._place)
        self._out(gone)
        one, other, *_ = self._random.sample(sorted(photos.iterdir()), 2)
        run_command("remove", one, "--collection", self._place / "collection")
        self._out([one])
        with closing(Collection.open(self._place / "collection")) as collection, collection.writing():
            collection.catalog.apply(Changes(removed=[collection.catalog.known_files(str(other))[str(other)].id]))
            self._out([other])
            repair(collection, verify(collection))
            assert verify(collection).indexes == []
        one.unlink()
        other.unlink()
        self.rounds += 1

    def _out(self, files: list[Path]) -> None:
        self._removed.writelines(f"{file}\n" for file in files)
        self._removed.flush()


def read(place: Path, seed: int) -> dict[str, Any]:
    """Query until the writer has ended; every hit is compared with its file's color and its stored vector."""
    chosen, queries, hits, problems = np.random.default_rng(seed), 0, 0, []
    with closing(Collection.open(place / "collection")) as collection:
        searcher = Searcher(collection, ColorEncoder)
        while not (place / "done").exists():
            removed = set((place / "removed").read_text().split("\n"))
            (query,) = unit_rows(chosen.integers(0, 256, (1, 3)))
            found = searcher.search([VectorTerm(query)], k=int(chosen.integers(1, 30)))
            stored = collection.catalog.stored("images", [hit.id for hit in found])
            for hit in found:
                if str(hit.path) in removed:
                    problems.append(f"{hit.path} was removed")
                if abs(float(vector_of(hit.path) @ query) - hit.score) > 1e-3:
                    problems.append(f"{hit.path} has the score of another picture")
                if hit.id in stored and abs(float(stored[hit.id] @ query) - hit.score) > 1e-5:
                    problems.append(f"{hit.path} has a score that is not its vector's")
            if len({hit.id for hit in found}) < len(found):
                problems.append("a hit came twice")
            queries, hits = queries + 1, hits + len(found)
    return {"queries": queries, "hits": hits, "problems": problems[:10]}


def run(place: Path, seconds: float) -> dict[str, Any]:
    """How many queries and hits there were while so many rounds of writing went on, and what was wrong with them."""
    writer = Writer(place)
    writer.step()
    readers = []
    for seed in range(READERS):
        if not (child := os.fork()):
            status, found = forked(lambda seed=seed: read(place, seed))
            (place / f"read{seed}").write_text(json.dumps(found if status == 0 else {"problems": ["an error"]}))
            os._exit(0)
        readers.append(child)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        writer.step()
    (place / "done").touch()
    for child in readers:
        os.waitpid(child, 0)
    found = [json.loads((place / f"read{seed}").read_text()) for seed in range(READERS)]
    return {
        "seconds": seconds,
        "rounds": writer.rounds,
        "queries": sum(each.get("queries", 0) for each in found),
        "hits": sum(each.get("hits", 0) for each in found),
        "problems": [problem for each in found for problem in each["problems"]],
    }


def main(seconds: str) -> None:
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the commands say
    with tempfile.TemporaryDirectory() as place:
        found = run(Path(place), float(seconds))
    os.write(output, (json.dumps(found, indent=1) + "\n").encode())
    sys.exit(bool(found["problems"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
