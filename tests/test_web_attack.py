"""A running server under attack: others are served meanwhile, and its memory stays bounded."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from tests.fuzz.targets import three_pictures
from tests.test_web_live import png
from tests.test_web_workers import TIMEOUT_S, served, status
from web.connections import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads a process's memory in /proc")

CHUNKED = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class Attacked:
    """A server with two threads."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid
        self.address = urlsplit(url).hostname, urlsplit(url).port

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=TIMEOUT_S)

    def serves_others(self) -> bool:
        paths = ("api/v1/health", "api/v1/images/1/similar", "images/1")
        return all(urlopen(f"{self.url}{path}", timeout=TIMEOUT_S).status == 200 for path in paths)

    def megabytes(self, kind: str) -> float:
        """VmRSS, what is resident, or VmHWM, the most that ever was."""
        found = re.search(rf"{kind}:\s+(\d+) kB", status(self.pid))
        assert found
        return int(found[1]) / 1e3

    def upload(self, data: bytes) -> int:
        body = (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + data + b"\r\n--x--\r\n"
        )
        asked = Request(f"{self.url}api/v1/lookup", body, {"Content-Type": "multipart/form-data; boundary=x"})
        try:
            return int(urlopen(asked, timeout=2 * TIMEOUT_S).status)
        except HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """One for all tests, so each also meets what the others left."""
    with served(three_pictures(tmp_path_factory.mktemp("attacked")), "--threads", "2") as (server, url):
        attacked = Attacked(url, server.pid)
        assert attacked.serves_others()
        yield attacked


def test_a_thousand_silent_connections_shut_nobody_out(attacked: Attacked) -> None:
    with ExitStack() as silent:
        for number in range(1_000):
            silent.enter_context(attacked.connect())
            if number % 250 == 249:
                assert attacked.serves_others()


def test_a_request_in_hand_is_answered_though_others_crowd_in(attacked: Attacked) -> None:
    with attacked.connect() as slow, ExitStack() as silent:
        request = b"GET /api/v1/images/1/similar HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        slow.sendall(request[:-1])
        for number in range(450):
            silent.enter_context(attacked.connect())
            if number % 10 == 0:
                assert urlopen(f"{attacked.url}api/v1/health", timeout=TIMEOUT_S).status == 200
        slow.sendall(request[-1:])
        assert slow.recv(12) == b"HTTP/1.1 200"


def test_clients_that_send_a_byte_at_a_time_hold_nobody_up(attacked: Attacked) -> None:
    head = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    done = threading.Event()
    with ExitStack() as open_:
        slow = [open_.enter_context(attacked.connect()) for _ in range(50)]

        def drip() -> None:
            for byte in head + bytes(100):
                for client in slow:
                    client.send(bytes([byte]))
                if done.wait(0.05):
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert attacked.serves_others()
        done.set()
        dripping.join()


def test_a_chunked_body_without_end_is_refused(attacked: Attacked) -> None:
    before, piece = attacked.megabytes("VmRSS"), b"10000\r\n" + bytes(65_536) + b"\r\n"
    with attacked.connect() as client:
        client.sendall(CHUNKED)
        answer = _send_until_answered(client, piece, 8_000)
    assert answer.startswith(b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert _error_in(answer) == (413, "request_entity_too_large")
    assert attacked.serves_others()
    assert attacked.megabytes("VmHWM") < before + 300


@pytest.mark.parametrize("before", [b"", b"0\r\n"], ids=["line before a chunk", "trailer"])
def test_a_line_of_a_chunked_body_without_end_is_refused(attacked: Attacked, before: bytes) -> None:
    with attacked.connect() as client:
        client.sendall(CHUNKED + before)
        answer = _send_until_answered(client, b"1" * 65_536, 1_000)
    assert _error_in(answer) == (400, "bad_request")


def test_what_waitress_refuses_has_the_error_body_of_the_api_and_of_pages_a_message(attacked: Attacked) -> None:
    for path, mimetype in (("/api/v1/embed", b"application/json"), ("/search", b"text/plain; charset=utf-8")):
        with attacked.connect() as client:
            client.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n" % path.encode())
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"Content-Type: " + mimetype + b"\r\n" in answer
        assert b"X-Content-Type-Options: nosniff\r\n" in answer
    with attacked.connect() as client:
        client.sendall(b"no request\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.0 400 Bad Request\r\n")


def test_bodies_together_are_bounded() -> None:
    """In a server that may hold 4 MB of them, 2 clients send 1.5 MB each and wait, others 2 MB."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as open_:
        address = listener.getsockname()
        server = Server(_answered, listener, threads=1, max_bodies_bytes=4_000_000)
        threading.Thread(target=server.run, daemon=True).start()
        open_.callback(server.close)

        def sent(path: bytes, size_bytes: int, of_bytes: int) -> socket.socket:
            client = open_.enter_context(socket.create_connection(address, timeout=TIMEOUT_S))
            head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            client.sendall(head % (path, of_bytes) + bytes(size_bytes))
            return client

        def answer(client: socket.socket) -> bytes:
            return b"".join(iter(partial(client.recv, 65_536), b""))

        api, page = b"/api/v1/search", b"/search"
        waiting = [sent(api, 1_500_000, 2_000_000) for _ in range(2)]
        while server.bodies_bytes() < 3_000_000:
            time.sleep(0.01)
        for path, kind in ((api, b"application/json"), (page, b"text/plain")):
            refused = answer(sent(path, 2_000_000, 2_000_000))
            assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"Content-Type: " + kind in refused
            assert b"Retry-After: 5\r\n" in refused
            assert b"the server holds as many uploads as it may; try again later" in refused
        assert answer(sent(api, 5, 5)).endswith(b"\r\n\r\n5")
        for client in waiting:  # are not disturbed
            client.sendall(bytes(500_000))
            assert answer(client).endswith(b"\r\n\r\n2000000")
        while server.bodies_bytes():
            time.sleep(0.01)


def _answered(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Says how long the body is."""
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]


def _error_in(answer: bytes) -> tuple[int, str]:
    """Its status and code, of an answer of the API."""
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error["status"], error["code"]


def _send_until_answered(client: socket.socket, piece: bytes, times: int) -> bytes:
    """What the server says before it has `times` pieces; b"" when it takes them all."""
    for _ in range(times):
        try:
            client.settimeout(TIMEOUT_S)
            client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            break
        client.setblocking(False)
        try:
            return client.recv(4096)
        except BlockingIOError:
            continue
    client.settimeout(TIMEOUT_S)
    return client.recv(4096)


def test_bombs_that_come_together_take_no_more_memory_than_one(attacked: Attacked) -> None:
    largest = io.BytesIO()  # within the limit of pixels: 121 megapixels in some kilobytes
    Image.new("L", (11_000, 11_000)).save(largest, "PNG")
    broken = largest.getvalue()[:-40]
    bombs = [png(60_000, 60_000), png(2**31 - 1, 1), broken, broken] * 2
    before = attacked.megabytes("VmRSS")
    with ThreadPoolExecutor(len(bombs)) as clients:
        answers = list(clients.map(attacked.upload, bombs))
    assert set(answers) == {400}
    assert attacked.serves_others()
    assert attacked.megabytes("VmHWM") < before + 1_500
    assert attacked.megabytes("VmRSS") < before + 300


def test_an_address_may_be_written_in_any_language(attacked: Attacked) -> None:
    address = "/api/v1/images/1/similar?where=-camera:größe"
    with attacked.connect() as client:
        client.sendall(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
