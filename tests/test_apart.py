"""Decoders that crash, hang, take memory or print: in a process apart, where nothing but their picture is lost."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from indexer.in_flight import IN_FLIGHT_FILE, InFlight
from search import apart
from search.collection import Collection
from search.errors import BadPicture, UnreadFile
from search.image import decode_here, decode_picture, digest_of
from search.settings import PROJECT
from search.signatures import apart_format_of
from tests import bad_decoders
from tests.colors import COLORS, ColorEncoder
from tests.conftest import Build, paint
from tests.test_web_workers import wait_until_gone
from web.app import create_app

SECONDS = 3

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="finds processes in /proc; the limits are those of Linux"
)

FAILURES = {
    "crashes": f"the decoder of JPEG2000 crashed (signal {int(signal.SIGSEGV)})",
    "sleeps": f"the decoder of JPEG2000 took more than {SECONDS} seconds and one for each megapixel",
    "hangs": f"the decoder of JPEG2000 took more than {SECONDS} seconds and one for each megapixel",
    "takes memory": "broken JPEG2000: needs more memory than there is",
    "takes memory at once": "broken JPEG2000: needs more memory than there is",
    "exits": "the decoder of JPEG2000 ended (exit status 3)",
}


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes with the decoder of tests/bad_decoders.py."""
    apart.end_idle()
    monkeypatch.setattr(apart, "WORKER", bad_decoders.WORKER)
    monkeypatch.setattr(apart, "SECONDS", SECONDS)
    yield
    apart.end_idle()


def decoders(pid: int) -> set[int]:
    """The processes started by `pid`, on any thread of it, that decode."""
    lists = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for children in lists for child in children.split()]
    return {child for child in children if b"main()" in Path(f"/proc/{child}/cmdline").read_bytes()}


def encoded(color: str, format_: str, size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, COLORS[color]).save(stream, format_, **options)
    return stream.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(BadPicture) as refused:
        decode_picture(data, max_pixels=10**6)
    assert not isinstance(refused.value, UnreadFile)
    return str(refused.value)


@pytest.mark.parametrize(("word", "reason"), FAILURES.items())
def test_what_a_decoder_does_ends_its_process_alone(bad: None, word: str, reason: str) -> None:
    assert refusal(bad_decoders.picture(word)) == reason
    assert decode_picture(bad_decoders.picture("decodes"), max_pixels=100).image.getpixel((4, 4)) == (255, 0, 0)


def test_what_a_decoder_prints_is_no_answer(bad: None) -> None:
    assert decode_picture(bad_decoders.picture("prints"), max_pixels=100).image.getpixel((4, 4)) == (255, 0, 0)


def test_threads_share_processes_of_which_some_crash(bad: None) -> None:
    words = ["decodes", "crashes", "takes memory at once"] * 8

    def outcome(word: str) -> str:
        try:
            return str(decode_picture(bad_decoders.picture(word), max_pixels=100).image.size)
        except BadPicture as error:
            return str(error)

    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(outcome, words))
    assert outcomes == [FAILURES.get(word, "(8, 8)") for word in words]
    assert outcome("decodes") == "(8, 8)"  # whichever came last above may have taken its process along
    assert 1 <= len(decoders(os.getpid())) <= (os.cpu_count() or 1)


def test_a_build_records_them_once_and_indexes_the_others(
    bad: None, collection: Collection, index: Build, photos: Path
) -> None:
    for word in FAILURES:
        (photos / f"{word}.jp2").write_bytes(bad_decoders.picture(word))
    report = index(photos)
    assert (report.new, report.failed) == (3, len(FAILURES))
    failures = {Path(path).stem: reason for path, reason, _ in collection.catalog.failures()}
    assert failures == FAILURES
    apart.end_idle()
    again = index(photos)
    assert (again.new, again.failed) == (0, 0)
    assert decoders(os.getpid()) == set()
    (photos / "crashes.jp2").write_bytes(bad_decoders.picture("decodes"))
    assert index(photos).new == 1


def built(directory: Path, photos: Path) -> str | int:
    """What a build in a process of its own reports, [new, failed], or the signal that ended it."""
    words = [sys.executable, "-m", "tests.crashing_build", directory, photos]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else -done.returncode


def test_a_file_that_took_a_build_down_takes_no_other_down(tmp_path: Path, photos: Path) -> None:
    """Its decoder, of a format that no process apart is made for, crashes. So does that of a second such file."""
    directory, note = tmp_path / "collection", tmp_path / "collection" / IN_FLIGHT_FILE
    for name in ("a.qoi", "z.qoi"):
        (photos / name).write_bytes(bad_decoders.picture("crashes", "QOI"))
    assert built(directory, photos) == signal.SIGSEGV
    (first,) = InFlight(note).suspects
    assert built(directory, photos) == signal.SIGSEGV
    assert InFlight(note).suspects == {str(photos / "a.qoi"), str(photos / "z.qoi")} > {first}
    assert built(directory, photos) == "[3, 2]"
    assert not note.exists()
    with closing(Collection.open(directory)) as collection:
        crashed = f"the decoder of QOI crashed (signal {int(signal.SIGSEGV)})"
        assert [reason for _, reason, _ in collection.catalog.failures()] == [crashed, crashed]
    assert built(directory, photos) == "[0, 0]"
    os.utime(photos / "a.qoi", (1, 1))
    (photos / "z.qoi").write_bytes(bad_decoders.picture("decodes", "QOI"))
    assert built(directory, photos) == "[1, 1]"


def test_a_suspect_whose_crash_is_not_recorded_stays_one(
    bad: None, collection: Collection, index: Build, photos: Path
) -> None:
    """Its row is there and its local features are not, so there is no failure: it is tried again, apart."""
    index(photos, keypoints=0)
    file, note = photos / "red.png", collection.directory / IN_FLIGHT_FILE
    file.write_bytes(data := bad_decoders.picture("crashes", "QOI"))
    note.write_bytes(bytes(file).ljust(4096, b"\0"))
    found = [str(file), digest_of(data), len(data), file.stat().st_mtime_ns]
    with sqlite3.connect(collection.directory / "catalog.sqlite") as connection:
        connection.execute("UPDATE images SET digest = ?2, size_bytes = ?3, mtime_ns = ?4 WHERE path = ?1", found)
    connection.close()
    for _ in range(2):
        report = index(photos)
        assert (report.unchanged, report.failed) == (3, 0)
        assert InFlight(note).suspects == {str(file)}
    file.unlink()
    index(photos)
    assert not note.exists()


@pytest.mark.parametrize("word", ["crashes", "hangs", "takes memory"])
def test_a_server_refuses_them_and_goes_on(
    bad: None, collection: Collection, encoder: ColorEncoder, index: Build, photos: Path, word: str
) -> None:
    index(photos)
    client = create_app([collection], lambda _model: encoder).test_client()
    answer = client.post("/api/v1/search", data={"image": (io.BytesIO(bad_decoders.picture(word)), "a.jp2")})
    assert answer.status_code == 400
    assert FAILURES[word] in answer.get_json()["error"]["message"]
    answer = client.post("/api/v1/search", data={"image": (io.BytesIO(encoded("blue", "PNG")), "a.png"), "k": "1"})
    assert [hit["image"]["name"] for hit in answer.get_json()["hits"]] == ["blue.webp"]


@pytest.mark.parametrize("format_", ["AVIF", "JPEG2000", "HEIF"])
def test_pixels_and_facts_are_those_of_this_process(format_: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Camera"
    exif[ExifTags.Base.DateTime] = "2024:05:06 07:08:09"
    options = {} if format_ == "JPEG2000" else {"exif": exif.tobytes()}
    data = encoded("green", format_, (64, 32), **options)
    assert apart_format_of(data) == format_
    away = decode_picture(data, max_pixels=10**6)
    here = decode_here(data, max_pixels=10**6, short_side=None, room=lambda *_: nullcontext())
    assert away.facts == here.facts
    assert away.image.tobytes() == here.image.tobytes()
    assert "over the limit" in refusal(encoded("green", format_, (1001, 1000)))


def test_a_process_that_died_idle_is_replaced() -> None:
    data = encoded("red", "AVIF")
    decode_picture(data, max_pixels=10**6)
    idle = decoders(os.getpid())
    for pid in idle:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # the last of its threads too
    assert decode_picture(data, max_pixels=10**6).facts.format == "AVIF"


def test_without_a_process_nothing_is_known_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    apart.end_idle()
    monkeypatch.setattr(apart, "WORKER", "sys.exit(1)")
    with pytest.raises(UnreadFile, match="AVIF cannot be started: it ended at once"):
        decode_picture(encoded("red", "AVIF"), max_pixels=10**6)


def test_the_usual_formats_start_nothing_and_import_nothing(tmp_path: Path) -> None:
    files = [
        paint(tmp_path / f"a.{suffix}", "red") for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif", "ico", "tga")
    ]
    assert [apart_format_of(file.read_bytes()) for file in files] == [None] * len(files)
    code = """
import sys
from pathlib import Path
from search.image import decode_picture
for file in sys.argv[1:]:
    decode_picture(Path(file).read_bytes(), max_pixels=10**6)
assert not {"search.apart", "pillow_heif"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, *files], cwd=PROJECT, check=True)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None])
def test_no_process_stays_behind(end: signal.Signals | None, tmp_path: Path) -> None:
    """Neither an idle one nor one with a hanging decoder, in the middle of its picture."""
    code = f"""
import signal, sys, threading
from search import apart
from search.image import decode_picture
from tests import bad_decoders
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background may ignore it
apart.WORKER, apart.SECONDS = bad_decoders.WORKER, {SECONDS}
decode_picture(bad_decoders.picture("decodes"), max_pixels=100)
hangs = bad_decoders.picture("hangs")
threading.Thread(target=decode_picture, args=(hangs,), kwargs=dict(max_pixels=100), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""
    words = [sys.executable, "-c", code]
    with subprocess.Popen(
        words, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        running = decoders(parent.pid)
        assert running
        if end is None:
            parent.stdin.close()
        else:
            parent.send_signal(end)
        parent.wait(30)
    wait_until_gone(running)


def test_a_large_picture_waits_for_its_turn() -> None:
    """`room` is entered before pixels are decoded and left when they are here."""
    told: list[tuple[int, int]] = []
    held = threading.Lock()

    def room(width: int, height: int) -> threading.Lock:
        told.append((width, height))
        return held

    held.acquire()
    with ThreadPoolExecutor(1) as threads:
        data = encoded("red", "AVIF", (64, 48))
        waiting = threads.submit(apart.decode_apart, data, "AVIF", max_pixels=10**6, short_side=None, room=room)
        while not told:
            time.sleep(0.01)
        assert not waiting.done()
        held.release()
        assert waiting.result().facts.width == 64
    assert told == [(64, 48)]
    assert not held.locked()
