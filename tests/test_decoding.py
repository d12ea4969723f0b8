"""What a process notes of the pictures that it decodes, and what others make of it when it has died."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import RemoteDisconnected
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, build_opener

import pytest

from search import decoding
from search.collection import Collection
from search.errors import BadPicture
from search.settings import PROJECT
from tests import bad_decoders
from tests.test_web_api import picture
from tests.test_web_workers import NotFollowed, answering, workers

DATA = b"a picture"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process notes what it decodes."""
    monkeypatch.setattr(decoding, "_folder", None)
    decoding.note_in(tmp_path)
    return tmp_path / "decoding"


def die_decoding(data: bytes) -> None:
    """Have another process end while it decodes."""
    if not (child := os.fork()):
        with decoding.noted(data):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_content_is_noted_while_it_is_decoded_and_suspect_to_nobody(notes: Path) -> None:
    with decoding.noted(DATA) as one, decoding.noted(DATA) as other, decoding.noted(b"another") as another:
        assert len(list(notes.iterdir())) == 2
    assert (one, other, another) == (False, False, False)
    with pytest.raises(BadPicture), decoding.noted(DATA):
        raise BadPicture("broken")
    assert list(notes.iterdir()) == []


def test_a_content_that_a_process_died_decoding_is_suspect_until_it_has_been_decoded(notes: Path) -> None:
    die_decoding(DATA)
    with pytest.raises(BadPicture), decoding.noted(DATA) as suspect:
        assert suspect
        raise BadPicture("its decoder crashed")
    with decoding.noted(b"another") as suspect:
        assert not suspect
    for expected in (True, False):
        with decoding.noted(DATA) as suspect:
            assert suspect is expected


def test_what_many_decode_at_once_is_suspect_to_nobody(notes: Path) -> None:
    def decode(_: int) -> bool:
        with decoding.noted(DATA) as suspect:
            return suspect

    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(decode, range(5_000)))
    assert list(notes.iterdir()) == []


def test_without_a_place_for_notes_pictures_are_decoded_all_the_same(notes: Path) -> None:
    shutil.rmtree(notes)
    with decoding.noted(DATA) as suspect:
        assert not suspect


@contextmanager
def served(collection: Collection, cache: Path, count: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server whose decoder of QOI crashes, and its URL."""
    words = [sys.executable, "-m", "tests.crashing_server", collection.directory, cache, str(count)]
    with answering(subprocess.Popen(words, cwd=PROJECT, stderr=subprocess.PIPE, text=True)) as server:
        yield server


def upload(url: str, data: bytes) -> tuple[int, str]:
    """The status of the page's answer to a picture, and the answer."""
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n--x--\r\n'
    ask = Request(f"{url}search", form % data, {"Content-Type": "multipart/form-data; boundary=x"})
    try:
        with build_opener(NotFollowed).open(ask) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


CRASHES = bad_decoders.picture("crashes", "QOI")
REASON = f"decoder of QOI crashed (signal {int(signal.SIGSEGV)})"


@pytest.mark.skipif(sys.platform != "linux", reason="tells processes apart with /proc")
def test_an_upload_that_takes_a_worker_down_takes_down_no_other_nor_the_next_server(
    collection: Collection, tmp_path: Path
) -> None:
    with served(collection, tmp_path, 2) as (server, url):
        assert upload(url, picture("red"))[0] == 303
        before = workers(server.pid)
        with pytest.raises(RemoteDisconnected):
            upload(url, CRASHES)
        for _ in range(4):  # whichever worker answers
            status, page = upload(url, CRASHES)
            assert status == 400
            assert REASON in page
        assert upload(url, picture("green"))[0] == 303
        assert len(before & workers(server.pid)) == 1
        server.terminate()
        server.wait(30)
    with served(collection, tmp_path, 1) as (_, url):
        assert upload(url, CRASHES)[0] == 400
