"""`python -m tests.faults`: processes that die at every step, lose what they had not synced, and go on.

A step is a moment before or after a file is synced, renamed, removed or written, a statement or a commit of SQLite.
Each trial is a forked process: nothing of the project knows of this.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import faiss

from tests.scenarios import SCENARIOS, Scenario, check_readable, contents

COLLECTION = "collection"

Step = Callable[[str], None]

CALLS = {
    os: ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir"),
    faiss: ("write_index",),
    shutil: ("copyfile",),
}


def watch(step: Step, synced: Callable[[int], None], committed: Callable[[], None]) -> None:
    """Have `step` called at every step of this process from now on, and the others when something is on the disk."""
    for module, names in CALLS.items():
        for name in names:
            setattr(module, name, _stepping(name, getattr(module, name), step, synced))

    class Cursor(sqlite3.Cursor):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            step(f"before {statement.split()[0]}")
            return super().execute(statement, *values)

        def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:
            step(f"before {statement.split()[0]}")
            return super().executemany(statement, *values)

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> sqlite3.Cursor:
            return super().cursor(Cursor)

        def commit(self) -> None:
            step("before commit")
            super().commit()
            committed()
            step("after commit")

    connect = sqlite3.connect
    for module in (sqlite3, sqlite3.dbapi2):
        module.connect = lambda *words, **options: connect(*words, **{"factory": Connection, **options})


def _stepping(name: str, call: Callable[..., Any], step: Step, synced: Callable[[int], None]) -> Callable[..., Any]:
    def stepping(*words: Any, **options: Any) -> Any:
        step(f"before {name}")
        result = call(*words, **options)
        if name == "fsync":
            synced(words[0])
        step(f"after {name}")
        return result

    return stepping


class Disk:
    """What would be left of a folder if the power went: files and names as of the last sync of each.

    What SQLite writes counts as synced when a commit returns, as it promises for synchronous=FULL.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._contents: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            self._list(folder)
            for file in folder.iterdir():
                if file.is_file():
                    self._contents[file.stat().st_ino] = file.read_bytes()

    def synced(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self._list(path)
        elif path.is_file():
            self._contents[path.stat().st_ino] = path.read_bytes()

    def committed(self) -> None:
        for file in self._root.rglob("*.sqlite*"):
            if file.suffix != ".sqlite-shm" and not file.name.endswith("-shm"):
                inode = file.stat().st_ino
                self._contents[inode] = file.read_bytes()
                if file.parent in self._names:
                    self._names[file.parent][file.name] = inode

    def write(self, place: Path) -> None:
        """Make `place` what would be found after the power came back; only the collection is written to."""
        shutil.copytree(self._root, place, ignore=shutil.ignore_patterns(COLLECTION))
        if COLLECTION in self._names[self._root]:
            self._write(place / COLLECTION, self._root / COLLECTION)

    def _write(self, place: Path, folder: Path) -> None:
        place.mkdir()
        for name, inode in self._names.get(folder, {}).items():
            if folder / name in self._names:
                self._write(place / name, folder / name)
            else:  # where only the name was synced, nothing is in the file
                (place / name).write_bytes(self._contents.get(inode, b""))

    def _list(self, folder: Path) -> None:
        self._names[folder] = {entry.name: entry.inode() for entry in os.scandir(folder)}
        for entry in os.scandir(folder):
            if entry.is_dir():
                self._names.setdefault(folder / entry.name, {})


def forked(function: Callable[[], object]) -> tuple[int, Any]:
    """Run `function` in a process of its own: how it ended, and what it returned."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        _say_nothing()
        try:
            os.write(writing, json.dumps(function()).encode())
        except BaseException:  # noqa: BLE001  (the parent tells)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(child, 0)
    return status, json.loads(data) if data else None


def _say_nothing() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@dataclass
class Trials:
    """A scenario, where it begins, and what it leads to when nothing goes wrong."""

    scenario: Scenario
    place: Path

    def __post_init__(self) -> None:
        self.start, self.work, self.after = (self.place / name for name in ("start", "work", "after"))
        self.work.mkdir()
        self.ok(lambda: self.scenario.prepare(self.work))
        self.work.rename(self.start)
        self._begin()
        self.steps: list[str] = self.ok(self._count)
        self.expected = self.ok(lambda: contents(self.work))

    def _begin(self) -> None:
        for folder in (self.work, self.after):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.start, self.work, copy_function=shutil.copy2)

    def ok(self, function: Callable[[], Any]) -> Any:
        status, result = forked(function)
        assert status == 0, f"{self.scenario.name}: a process failed that nobody disturbed"
        return result

    def _count(self) -> list[str]:
        steps: list[str] = []
        watch(steps.append, lambda _: None, lambda: None)
        self.scenario.run(self.work, lambda _: None)
        return steps

    def _report(self, count: int) -> None:
        """What the run tells its user: so many images are safe."""
        (self.place / "reported").write_text(str(count))

    def kill_at(self, number: int) -> None:
        """Run, and die at the step of this number."""
        self._begin()

        def run() -> None:
            steps = count()

            def step(_: str) -> None:
                if next(steps) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            watch(step, lambda _: None, lambda: None)
            self.scenario.run(self.work, self._report)

        status, _ = self._disturbed(run)
        assert status in (signal.SIGKILL, 0)
        self._survived(self.work)

    def kill_after(self, seconds: float) -> None:
        """Run, and be killed after so long."""
        self._begin()
        (self.place / "reported").write_text("0")
        if not (child := os.fork()):
            _say_nothing()
            with suppress(BaseException):
                self.scenario.run(self.work, self._report)
            os._exit(0)
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self._survived(self.work)

    def lose_power_at(self, number: int) -> None:
        """Run up to the step of this number, and go on from what was on the disk then."""
        self._begin()

        def run() -> None:
            steps, disk = count(), Disk(self.work)

            def step(_: str) -> None:
                if next(steps) == number:
                    disk.write(self.after)
                    os.kill(os.getpid(), signal.SIGKILL)

            watch(step, disk.synced, disk.committed)
            self.scenario.run(self.work, self._report)
            disk.write(self.after)

        self._disturbed(run)
        shutil.rmtree(self.work)
        self.after.rename(self.work)
        self._survived(self.work)

    def _disturbed(self, run: Callable[[], None]) -> tuple[int, Any]:
        (self.place / "reported").write_text("0")
        return forked(run)

    def _survived(self, place: Path) -> None:
        """What is there can be read and holds what was reported; the same run again makes it as if nothing had been."""
        reported = int((self.place / "reported").read_text() or 0)
        self.ok(lambda: check_readable(place, reported))
        self.ok(lambda: self.scenario.run(place, lambda _: None))
        self.ok(lambda: check_readable(place, reported, finished=True))
        found = self.ok(lambda: contents(place))
        assert found == self.expected, f"{self.scenario.name}: it is not what an undisturbed run makes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all if none")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth step")
    parser.add_argument("--instants", type=int, default=0, metavar="N", help="also die at N random instants")
    asked = parser.parse_args()
    done: dict[str, dict[str, int]] = {}
    chosen = random.Random(5)
    for name in asked.scenarios or SCENARIOS:
        with tempfile.TemporaryDirectory() as place:
            started = time.monotonic()
            trials = Trials(SCENARIOS[name], Path(place))
            whole_s = time.monotonic() - started
            numbers = range(chosen.randrange(min(asked.every, len(trials.steps))), len(trials.steps), asked.every)
            for number in numbers:
                try:
                    trials.kill_at(number)
                    trials.lose_power_at(number)
                except AssertionError as error:
                    sys.exit(f"at step {number}, {trials.steps[number]}: {error}")
            for _ in range(asked.instants):
                trials.kill_after(chosen.uniform(0, whole_s / 2))
            done[name] = {"steps": len(trials.steps), "killed": len(numbers), "power lost": len(numbers)}
            done[name]["killed at an instant"] = asked.instants
            sys.stderr.write(f"{name}: {done[name]}, {time.monotonic() - started:.0f} s\n")
    sys.stdout.write(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
