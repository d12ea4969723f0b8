"""Folders that vanish, files and disks that do not answer: what is known is kept, said, and tried again."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import commands, watch
from indexer.cli import main
from indexer.load import ahead
from indexer.patience import Patience
from indexer.report import Report
from search.collection import Collection
from search.errors import CollectionBusy, DiskFull
from search.searcher import Searcher
from search.settings import PROJECT
from search.types import Root
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint


def paint_many(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Pictures of `count` different sizes, each of one color."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number:03}.png" for number in range(first, first + count)]
    for number, file in enumerate(files, first):
        Image.new("RGB", (8 + number, 8), (number, 40, 200 - number)).save(file)
    return files


def images(collection: Collection) -> int:
    return collection.catalog.counts()["images"]


@pytest.mark.parametrize("emptied", [True, False])
def test_a_folder_of_which_most_is_gone_keeps_its_images_until_it_is_said_that_they_may_go(
    collection: Collection, index: Build, tmp_path: Path, emptied: bool
) -> None:
    folder = tmp_path / "photos"
    files = paint_many(folder, 40)
    index(folder)
    for file in files if emptied else files[:21]:
        file.unlink()
    gone = 40 if emptied else 21
    report = index(folder)
    assert (report.removed, images(collection)) == (0, 40)
    assert report.unreadable[str(folder)].startswith(f"{gone} of its 40 images are gone; they are kept in case a disk")
    assert "--allow-mass-removal" in report.unreadable[str(folder)]
    report = index(folder, allow_mass_removal=True)
    assert (report.removed, images(collection), report.unreadable) == (gone, 40 - gone, {})
    assert verify(collection).clean


def test_half_of_a_folder_and_few_files_may_go(collection: Collection, index: Build, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    files = paint_many(folder, 40)
    index(folder)
    for file in files[:20]:
        file.unlink()
    assert index(folder).removed == 20
    for file in files[20:39]:
        file.unlink()
    assert index(folder).removed == 19
    assert images(collection) == 1


def test_moved_files_are_not_gone(collection: Collection, index: Build, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for file in paint_many(folder, 40):
        file.rename(file.with_name(f"new-{file.name}"))
    index(folder)
    for file in sorted(folder.iterdir()):
        file.rename(file.with_name(f"newer-{file.name}"))
    report = index(folder)
    assert (report.moved, report.removed, report.unreadable) == (40, 0, {})


def test_one_folder_that_vanished_does_not_keep_the_others_rows(
    collection: Collection, index: Build, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    paint_many(one, 3)
    file, *_ = paint_many(other, 5, first=10)
    index(one, other)
    one.rename(tmp_path / "away")
    file.unlink()
    report = index(one, other)
    assert (report.removed, images(collection)) == (1, 7)
    assert report.unreadable.keys() == {str(one)}
    (tmp_path / "away").rename(one)
    assert not index(one, other).wrote


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Have the system refuse to open files of this name, with this error; a test may run as root."""
    system_open = os.open

    def refuse(name: str, number: int) -> None:
        def refusing(path: str, *rest: int) -> int:
            if Path(path).name == name:
                raise OSError(number, os.strerror(number), path)
            return system_open(path, *rest)

        monkeypatch.setattr(os, "open", refusing)

    return refuse


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_file_that_the_system_does_not_give_is_named_kept_and_tried_again(
    collection: Collection,
    index: Build,
    photos: Path,
    refuse: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    index(photos)
    rows = collection.catalog.known_files(str(photos))
    paint(photos / "red.png", "yellow", (30, 30))
    refuse("red.png", number)
    report = index(photos)
    assert report.unreadable == {str(photos / "red.png"): f"cannot be read: {os.strerror(number)}"}
    assert collection.catalog.known_files(str(photos)) == rows
    assert collection.catalog.failures() == []
    monkeypatch.undo()
    assert index(photos).changed == 1


def test_captions_that_the_system_does_not_give_are_kept_and_asked_for_again(
    collection: Collection,
    index: Build,
    photos: Path,
    searcher: Searcher,
    refuse: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (photos / "red.txt").write_text("red one\n")
    index(photos)
    (photos / "red.txt").write_text("red two\n")
    os.utime(photos / "red.txt", ns=(5, 5))
    (photos / "green.txt").write_text("green\n")
    refuse("red.txt", errno.EMFILE)
    report = index(photos)
    assert list(report.bad_captions) == [f"{photos}/red.txt: cannot be read: {os.strerror(errno.EMFILE)}"]
    assert [hit.text for hit in searcher.by_text("red", target="texts")] == ["red one", "green"]
    monkeypatch.undo()
    assert index(photos).recaptioned == 1
    assert [hit.text for hit in searcher.by_text("red", target="texts")] == ["red two", "green"]


def test_a_new_picture_whose_captions_cannot_be_read_gets_them_later(
    collection: Collection,
    index: Build,
    photos: Path,
    refuse: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (photos / "red.txt").write_text("red\n")
    refuse("red.txt", errno.EMFILE)
    assert index(photos).new == 3
    assert collection.catalog.counts()["texts"] == 0
    monkeypatch.undo()
    assert index(photos).recaptioned == 1
    assert collection.catalog.counts()["texts"] == 1


def test_a_clock_that_goes_backwards_hides_no_change(collection: Collection, index: Build, photos: Path) -> None:
    (photos / "red.txt").write_text("one\n")
    (photos / "captions.json").write_text('{"red.png": "two"}')
    index(photos)
    paint(photos / "red.png", "yellow", (30, 30))
    os.utime(photos / "red.png", ns=(1, 1))
    report = index(photos)
    assert (report.changed, report.encoded) == (1, 1)
    (photos / "red.txt").write_text("three\n")  # older than the other caption file now
    os.utime(photos / "red.txt", ns=(1, 1))
    assert index(photos).recaptioned == 1
    (row,) = [row.id for path, row in collection.catalog.known_files(str(photos)).items() if "red" in path]
    assert collection.catalog.captions([row]) == {row: ["three", "two"]}
    (photos / "red.txt").unlink()
    assert index(photos).recaptioned == 1
    assert collection.catalog.captions([row]) == {row: ["two"]}


def test_a_picture_that_is_written_while_it_is_read_is_read_again_when_it_is_whole(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    late = paint(photos / "late.png", "red", (300, 300))
    whole = late.read_bytes()
    late.write_bytes(whole[:100])
    os.utime(late, ns=(7, 7))
    assert index(photos).failed == 1
    late.write_bytes(whole)
    os.utime(late, ns=(8, 8))
    assert index(photos).new == 1

    class Slow(ColorEncoder):
        """The picture that it was given is painted over before its vector is there."""

        def preprocess(self, image: Image.Image) -> np.ndarray:
            paint(late, "blue", (200, 200))
            return super().preprocess(image)

    paint(late, "green", (250, 250))
    slow = Slow()
    index_slowly(collection, photos, slow)
    report = index(photos)
    assert (report.changed, report.encoded) == (1, 1)
    (row,) = [row.id for path, row in collection.catalog.known_files(str(photos)).items() if "late" in path]
    (blue,) = encoder.encode_images([Image.new("RGB", (8, 8), (0, 0, 255))])
    assert collection.catalog.stored("images", [row])[row] == pytest.approx(blue, abs=1e-2)


def index_slowly(
    collection: Collection, photos: Path, encoder: ColorEncoder, stop: threading.Event | None = None
) -> bool:
    """Whether a build with this encoder was interrupted."""
    from indexer.build import Options, build

    with collection.writing():
        report = build(
            collection,
            [Root(str(photos))],
            lambda: encoder,
            options=Options(batch_size=1, workers=1),
            progress=lambda *_: None,
            stop=stop or threading.Event(),
        )
    return report.interrupted


def test_a_read_that_hangs_is_told_once_and_waited_for() -> None:
    told: list[str] = []
    patience = Patience(told.append, threading.Event(), tell_after=0.0)
    answer = threading.Event()

    def read(root: Root) -> str:
        if root.path == "/share":
            answer.wait()
        return root.path

    def tell_and_answer(root: Root, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 2:
            answer.set()
        return patience.waiting(root, seconds)

    waits: list[float] = []
    roots = [Root("/disk"), Root("/share"), Root("/usb")]
    assert list(ahead(read, roots, workers=2, look_ahead=2, waiting=tell_and_answer)) == ["/disk", "/share", "/usb"]
    assert len(told) == 1
    assert told[0].startswith("/share has not answered for 1 s: its disk or network share may hang")


def test_a_build_that_waits_for_a_disk_can_be_stopped_and_keeps_what_is_done(
    collection: Collection, index: Build, photos: Path
) -> None:
    stop, answer = threading.Event(), threading.Event()

    class Hanging(ColorEncoder):
        """The second picture is never there."""

        def preprocess(self, image: Image.Image) -> np.ndarray:
            if self.done:
                stop.set()
                answer.wait()
            self.done = True
            return super().preprocess(image)

    encoder = Hanging()
    encoder.done = False
    assert index_slowly(collection, photos, encoder, stop)
    answer.set()
    assert images(collection) == 1
    assert verify(collection).clean
    assert index(photos).new == 2


HANG = """
import threading
from indexer.load import ahead
print(list(ahead(lambda item: threading.Event().wait(), [1], workers=1, look_ahead=1, waiting=lambda *_: False)))
"""


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    started = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", HANG], cwd=PROJECT, capture_output=True, timeout=60, check=True)
    assert ran.stdout == b"[]\n", time.monotonic() - started


def test_a_disk_that_is_full_and_a_batch_without_memory_are_one_line(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["export", str(tmp_path / "out"), "--collection", str(collection.directory)]
    for error, line in (
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "error: /x/y: No space left on device; finished work",
        ),
        (MemoryError(), "error: out of memory; finished work is kept"),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(Collection, "open", fail)
        assert main(words) == 2
        told = capsys.readouterr().err
        assert told.startswith(line) and told.count("\n") == 1


def test_watch_says_once_that_the_disk_is_full_and_goes_on_trying(
    collection: Collection,
    index: Build,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index(photos)
    full, busy = DiskFull("the disk of /c is full"), CollectionBusy("another process writes")
    ends = [full, full, busy, full, OSError(errno.ENOSPC, "No space left on device", "/c/x"), Report(), full, None]

    def run_build(*_: object, **__: object) -> Report:
        paint(photos / f"{len(ends)}.png", "red")  # so another update is due
        if isinstance(end := ends.pop(0), Exception):
            raise end
        if end is None:
            os.kill(os.getpid(), signal.SIGINT)
        return Report()

    monkeypatch.setattr(commands, "run_build", run_build)
    monkeypatch.setattr(watch, "RETRY_S", 0.01)
    assert main(["watch", "--collection", str(collection.directory)]) == 0
    assert ends == []
    again = "; trying again until it can be done"
    told = [line.removesuffix(again) for line in capsys.readouterr().err.splitlines() if line.endswith(again)]
    assert told == [str(full), str(busy), "/c/x: No space left on device", str(full)]


def test_a_folder_that_is_not_there_to_be_watched_is_named(
    collection: Collection, index: Build, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index(photos)
    photos.rename(photos.with_name("elsewhere"))
    assert main(["watch", "--collection", str(collection.directory)]) == 2
    assert f"error: {photos} is not there to be watched" in capsys.readouterr().err


FEW_DESCRIPTORS = """
import os, resource, sys
from indexer.cli import main
from indexer import commands
from search import kinds, migrate, sqlite
collection, paths = sys.argv[1], sys.argv[2:]
highest = max(int(name) for name in os.listdir("/proc/self/fd"))
for free, path in enumerate(paths, 1):
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + free, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    code = main(["remove", path, "--collection", collection])
    print(free, code, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted under /proc")
def test_without_a_descriptor_left_a_command_says_so_in_one_line_and_the_next_one_goes_on(
    collection: Collection, index: Build, tmp_path: Path
) -> None:
    files = paint_many(tmp_path / "photos", 12)
    index(tmp_path / "photos")
    command = [sys.executable, "-c", FEW_DESCRIPTORS, str(collection.directory), *map(str, files)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stderr.splitlines()
    codes = [int(line.split()[1]) for line in lines if line[0].isdigit()]
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(codes) == 12 and set(codes) == {0, 2}
    assert len(errors) == codes.count(2) and len(lines) == len(codes) + len(errors)
    for file in files:
        main(["remove", str(file), "--collection", str(collection.directory)])
    assert collection.catalog.counts()["images"] == 0
    assert verify(collection).clean
