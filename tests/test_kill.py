"""Builds that are killed at any moment, and finished by the next."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.build import Options, build
from search.collection import Collection
from search.settings import PROJECT
from search.types import Root
from search.verify import verify
from tests.colors import ColorEncoder, unit_rows

KILLS = 50


class Folder:
    """A folder whose pictures come, go, move and change; it knows the color that each has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.colors: dict[str, tuple[int, ...]] = {}
        self._random = random.Random(7)
        path.mkdir()

    def change(self) -> None:
        """Add 40 pictures with captions, paint some anew, rename some, remove some."""
        for number in range(40):
            self._paint(f"{self._random.getrandbits(40)}-{number}.bmp")
        for name in self._random.sample(sorted(self.colors), 8):
            self._paint(name)
        for name in self._random.sample(sorted(self.colors), 8):
            renamed = f"moved-{name}"
            for suffix in (".bmp", ".txt"):
                (self.path / name).with_suffix(suffix).rename((self.path / renamed).with_suffix(suffix))
            self.colors[renamed] = self.colors.pop(name)
        for name in self._random.sample(sorted(self.colors), 30):
            for suffix in (".bmp", ".txt"):
                (self.path / name).with_suffix(suffix).unlink()
            del self.colors[name]

    def _paint(self, name: str) -> None:
        self.colors[name] = tuple(self._random.randrange(256) for _ in range(3))
        size = 4 + self._random.randrange(40), 4 + self._random.randrange(40)
        Image.new("RGB", size, self.colors[name]).save(self.path / name)
        (self.path / name).with_suffix(".txt").write_text(f"red {self._random.getrandbits(20)}\n")


def start(directory: Path, folder: Path) -> subprocess.Popen[bytes]:
    """A build in a process of its own that has just begun."""
    command = [sys.executable, "-m", "tests.slow_build", str(directory), str(folder)]
    child = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def seconds_to_the_end(directory: Path, folder: Path) -> float:
    with start(directory, folder) as child:
        started = time.perf_counter()
        assert child.wait() == 0
    return time.perf_counter() - started


def start_and_kill(directory: Path, folder: Path, after_s: float) -> bool:
    """Whether the build was still running when it was killed."""
    with start(directory, folder) as child:
        time.sleep(after_s)
        killed = child.poll() is None
        child.kill()
    return killed


def finish(directory: Path, folder: Folder) -> int:
    """Build to the end, and return how many pictures went through the model."""
    encoder = ColorEncoder()
    if Collection.exists(directory):
        collection = Collection.open(directory)
    else:
        collection = Collection.create(directory, encoder.identity)
    with collection.writing():
        report = build(
            collection,
            [Root(str(folder.path))],
            lambda: encoder,
            options=Options(),
            progress=lambda *_: None,
            stop=threading.Event(),
        )
    assert report.failed == 0
    collection.close()
    return report.encoded


def check(directory: Path, folder: Folder) -> None:
    """Clean, and each file once with the vector of its color and its one caption."""
    collection = Collection.open(directory)
    assert verify(collection).clean
    rows = {Path(path).name: row.id for path, row in collection.catalog.known_files(str(folder.path)).items()}
    assert rows.keys() == folder.colors.keys()
    assert collection.catalog.counts() == {"images": len(rows), "texts": len(rows), "failures": 0}
    for name, row in rows.items():
        (expected,) = unit_rows(np.array([folder.colors[name]]))
        assert collection.catalog.stored("images", [row])[row] == pytest.approx(expected, abs=2e-3), name
    collection.close()


@pytest.mark.slow
def test_builds_killed_at_random_moments_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    folder, directory = Folder(tmp_path / "photos"), tmp_path / "collection"
    folder.change()
    whole_s = seconds_to_the_end(tmp_path / "undisturbed", folder.path)
    moments = random.Random(3)
    killed = 0
    for _ in range(KILLS):
        folder.change()
        killed += start_and_kill(directory, folder.path, moments.uniform(0, whole_s))
        committed = _pictures_done(directory, folder)
        encoded = finish(directory, folder)
        assert encoded <= len(folder.colors) - committed
        check(directory, folder)
    assert killed >= KILLS // 4


def _pictures_done(directory: Path, folder: Folder) -> int:
    """How many of the files as they are now the killed build had committed."""
    if not Collection.exists(directory):
        return 0
    collection = Collection.open(directory)
    known = collection.catalog.known_files(str(folder.path))
    done = 0
    for name in folder.colors:
        status = (folder.path / name).stat()
        row = known.get(str(folder.path / name))
        done += row is not None and (row.size_bytes, row.mtime_ns) == (status.st_size, status.st_mtime_ns)
    collection.close()
    return done
