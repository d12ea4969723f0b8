"""Several processes behind one socket: the dead are replaced, stuck clients hold nobody up, all end together."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest

from search.collection import Collection
from search.settings import PROJECT
from tests.conftest import Build
from tests.test_web_api import picture

TIMEOUT_S = 30

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="tells processes apart with /proc")


@contextmanager
def served(collection: Collection, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and its URL."""
    words = [sys.executable, "-m", "web", "--collection", str(collection.directory), "--port", "0", *options]
    environ = {**os.environ, "TMPDIR": str(collection.directory.parent)}  # a killed server leaves its uploads there
    with answering(subprocess.Popen(words, cwd=PROJECT, env=environ, stderr=subprocess.PIPE, text=True)) as server:
        yield server


@contextmanager
def answering(started: subprocess.Popen[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and the URL that it tells first; killed in the end."""
    with started as server:
        try:
            assert server.stderr
            found = re.search(r"(http://\S+) ", line := server.stderr.readline())
            assert found, line
            yield server, found[1]
        finally:
            server.kill()


def workers(pid: int) -> set[int]:
    """The processes that answer, of those that `pid` started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def wait_until_gone(pids: set[int]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while any(Path(f"/proc/{pid}/status").exists() and "State:\tZ" not in status(pid) for pid in pids):
        assert time.monotonic() < end, f"still running: {pids}"
        time.sleep(0.05)


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture
def filled(collection: Collection, photos: Path, index: Build) -> Collection:
    index(photos)
    return collection


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_server(filled: Collection, stop: signal.Signals) -> None:
    with served(filled, "--workers", "2") as (server, url):
        with urlopen(f"{url}api/v1/images/1/similar") as answer:
            assert answer.status == 200
        running = workers(server.pid)
        assert len(running) == 2
        server.send_signal(stop)
        assert server.wait(TIMEOUT_S) == 0
        wait_until_gone(running)
        assert server.stderr
        assert "Traceback" not in server.stderr.read()


def test_the_numbers_of_all_workers_are_told_together(filled: Collection) -> None:
    with served(filled, "--workers", "2") as (server, url):
        for _ in range(20):
            with urlopen(f"{url}api/v1/health") as answer:
                assert answer.status == 200
        for _ in range(4):  # whichever worker answers
            with urlopen(f"{url}metrics") as answer:
                counted = re.findall(rb'image_search_requests_total.*"api\.health".* ([0-9.]+)\n', answer.read())
            assert [float(count) for count in counted] == [20]
        server.terminate()
        assert server.wait(TIMEOUT_S) == 0


def test_workers_end_when_the_server_was_killed(filled: Collection) -> None:
    with served(filled, "--workers", "2") as (server, url):
        with urlopen(f"{url}api/v1/health") as answer:
            assert answer.status == 200
        running = workers(server.pid)
        server.kill()
        wait_until_gone(running)


def test_a_dead_worker_is_replaced_and_what_was_uploaded_is_still_there(filled: Collection) -> None:
    with served(filled, "--workers", "2") as (server, url):
        form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n%s\r\n--x--\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        ask = Request(f"{url}search", form % picture("red"), headers)
        with build_opener(NotFollowed).open(ask) as answer:
            key = answer.headers["Location"].partition("picture=")[2]
        killed = workers(server.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        with urlopen(f"{url}media/uploads/{key}", timeout=TIMEOUT_S) as answer:
            assert answer.headers["Content-Type"] == "image/webp"
        assert not workers(server.pid) & killed
        server.terminate()
        assert server.wait(TIMEOUT_S) == 0


def test_clients_that_are_stuck_hold_nobody_up(filled: Collection) -> None:
    """More of them than there are threads: some send nothing, some half a request, some do not take the answer."""
    with served(filled, "--threads", "2") as (_, url):
        place = urlsplit(url)
        stuck = [socket.create_connection((place.hostname, place.port)) for _ in range(120)]
        parts = (b"", b"POST /search HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for number, client in enumerate(stuck):
            client.sendall(parts[number % 3])
        with urlopen(f"{url}api/v1/health", timeout=TIMEOUT_S) as answer:
            assert answer.status == 200
        for client in stuck:
            client.close()


def test_a_port_in_use_is_told(filled: Collection) -> None:
    with served(filled) as (_, url):
        words = [sys.executable, "-m", "web", "--collection", str(filled.directory), "--port", str(urlsplit(url).port)]
        second = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert second.returncode == 2
    assert second.stderr.startswith("error: cannot listen on 127.0.0.1 port")
    assert second.stderr.count("\n") == 1


class NotFollowed(HTTPRedirectHandler):
    """Returns a redirection as it is."""

    def http_error_303(self, _request, answer, *_):  # type: ignore[no-untyped-def]
        return answer
