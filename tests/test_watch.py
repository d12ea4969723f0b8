"""When a watch asks for an update."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

from indexer import watch as module
from indexer.watch import watch
from tests.conftest import paint

PATIENCE_S = 60


@contextmanager
def watched(folder: Path, update: Callable[[], None]) -> Iterator[None]:
    """`update` at every update of a watch, which ends with the block."""
    stop = threading.Event()

    def update_now() -> bool:
        update()
        return True

    thread = threading.Thread(target=watch, args=([str(folder)], update_now, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*.png"))


def wait_for(seen: Queue[list[str]], wanted: list[str]) -> None:
    """One change of a folder may be several bursts."""
    while seen.get(timeout=PATIENCE_S) != wanted:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def test_what_changes_during_the_first_update_is_not_missed(folder: Path) -> None:
    seen = Queue[list[str]]()

    def update() -> None:
        seen.put(names(folder))
        paint(folder / "new.png", "red")

    with watched(folder, update):
        assert [seen.get(timeout=PATIENCE_S) for _ in range(2)] == [[], ["new.png"]]


def test_a_folder_with_a_dot_in_its_name_that_comes_or_goes_is_a_change(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    seen = Queue[list[str]]()
    paint(tmp_path / "trip.2024" / "a.png", "red")
    with watched(folder, lambda: seen.put(names(folder))):
        assert [seen.get(timeout=PATIENCE_S) for _ in range(2)] == [[], []]
        (tmp_path / "trip.2024").rename(folder / "trip.2024")
        wait_for(seen, ["a.png"])
        (folder / "trip.2024").rename(tmp_path / "trip.2024")
        wait_for(seen, [])


def test_a_folder_that_comes_to_the_place_of_a_watched_one_is_watched(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    seen = Queue[list[str]]()
    with watched(folder, lambda: seen.put(names(folder))):
        wait_for(seen, [])
        paint(folder / "a.png", "red")
        wait_for(seen, ["a.png"])
        folder.rename(tmp_path / "before")
        wait_for(seen, [])
        (tmp_path / "after").mkdir()
        (tmp_path / "after").rename(folder)
        wait_for(seen, [])
        paint(folder / "late.png", "red")
        wait_for(seen, ["late.png"])
