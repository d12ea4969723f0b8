"""The URL of a picture on the public internet -> its bytes, and never those of a machine behind this one.

A name is resolved once, every address it has must be public, and the connection goes to the address that was checked;
each redirection is checked anew. See OWASP's "Server-Side Request Forgery Prevention".
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import SplitResult, urljoin, urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from search.errors import BadQuery
from web.public import is_public

Fetch = Callable[[str], bytes]
Resolve = Callable[[str, int], Sequence[str]]
"""A name and a port -> its addresses. Raises OSError."""

Connect = Callable[[SplitResult, str, int, float], HTTPConnection]
"""A URL, a checked address, a port and a time limit in seconds -> a connection, not yet open, to the address."""

MAX_URL_LENGTH = 2_000
MAX_REDIRECTIONS = 3
TIMEOUT_S = 10.0
AT_ONCE = 4
"""Fetches of one process, so that slow hosts leave it threads to answer with."""

_PORTS = {"http": 80, "https": 443}
_REDIRECTIONS = frozenset((301, 302, 303, 307, 308))
_CHUNK_BYTES = 65_536
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "text-image-search"}

_fetching = threading.BoundedSemaphore(AT_ONCE)


class BadUrl(BadQuery):
    """A URL that is not fetched, or that does not lead to a picture."""


def resolve(name: str, port: int) -> list[str]:
    return [str(address[0]) for *_, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]


def connect(url: SplitResult, address: str, port: int, timeout_s: float) -> HTTPConnection:
    """Certificates are checked for the name in the URL."""
    if url.scheme == "https":
        return HTTPSConnection(
            address, port, timeout=timeout_s, server_hostname=url.hostname, assert_hostname=url.hostname
        )
    return HTTPConnection(address, port, timeout=timeout_s)


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches at most `max_bytes` within `timeout_s`; looking a name up can take longer, as the system decides."""

    max_bytes: int
    timeout_s: float = TIMEOUT_S
    resolve: Resolve = resolve
    connect: Connect = connect

    def __call__(self, url: str) -> bytes:
        """The bytes of a picture, not yet decoded. Raises BadUrl."""
        if not _fetching.acquire(blocking=False):
            raise BadUrl("other URLs are being fetched just now; try again in some seconds")
        try:
            return self._follow(url, time.monotonic() + self.timeout_s)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise BadUrl("the URL cannot be fetched: its host does not answer as it should") from error
        finally:
            _fetching.release()

    def _follow(self, url: str, end: float) -> bytes:
        for _ in range(MAX_REDIRECTIONS + 1):
            parts = checked(url)
            with self._answer(parts, end) as answer:
                if answer.status not in _REDIRECTIONS:
                    return self._picture(answer)
                url = urljoin(url, answer.headers.get("Location", ""))
        raise BadUrl(f"the URL leads to more than {MAX_REDIRECTIONS} redirections")

    @contextmanager
    def _answer(self, url: SplitResult, end: float) -> Iterator[BaseHTTPResponse]:
        """The answer with its body unread. At `end` the connection is cut, however much trickles in."""
        with closing(self._connected(url, end)) as connection, _cut_at(connection, end):
            target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
            connection.request("GET", target, headers={"Host": _host(url), **_HEADERS}, preload_content=False)
            with closing(connection.getresponse()) as answer:
                yield answer

    def _connected(self, url: SplitResult, end: float) -> HTTPConnection:
        port = _PORTS[url.scheme]
        failure: Exception = OSError("no address")
        for address in self._addresses(url, port):
            connection = self.connect(url, address, port, _left(end))
            try:
                connection.connect()
            except (HTTPError, OSError) as error:
                connection.close()
                failure = error
            else:
                return connection
        raise failure

    def _addresses(self, url: SplitResult, port: int) -> Sequence[str]:
        name = url.hostname or ""
        try:
            addresses = self.resolve(name, port)
        except OSError as error:
            raise BadUrl(f"no host is called {name}") from error
        if not all(map(is_public, addresses)):
            raise BadUrl(f"{name} is not on the public internet")
        return addresses

    def _picture(self, answer: BaseHTTPResponse) -> bytes:
        if answer.status != 200:
            raise BadUrl(f"the host of the URL answers with status {answer.status}")
        mimetype = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not (mimetype.startswith("image/") or mimetype == "application/octet-stream"):
            raise BadUrl(f"the URL leads to {mimetype[:60] or 'something without a type'}, not to a picture")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise BadUrl("the host of the URL sends compressed data that were not asked for")
        data = bytearray()
        while chunk := answer.read(_CHUNK_BYTES, decode_content=False):
            data += chunk
            if len(data) > self.max_bytes:
                raise BadUrl(f"the picture at the URL is larger than {self.max_bytes:,} bytes")
        return bytes(data)


def checked(text: str) -> SplitResult:
    """The parts of a URL that may be asked for. Raises BadUrl."""
    if len(text) > MAX_URL_LENGTH or not text.isprintable() or not text.isascii() or set(" \\") & set(text):
        raise BadUrl(f"the URL is longer than {MAX_URL_LENGTH:,} characters or holds some that URLs have to encode")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise BadUrl("this is not a URL") from None
    if url.scheme not in _PORTS or not url.hostname:
        raise BadUrl("a URL of a picture begins with http:// or https:// and a host")
    if "@" in url.netloc:
        raise BadUrl("the URL holds a user's name; give one without")
    if port not in (None, _PORTS[url.scheme]):
        raise BadUrl(f"the URL names the port {port}; only 80 for http and 443 for https are asked")
    return url


def _host(url: SplitResult) -> str:
    return f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""


def _left(end: float) -> float:
    """Seconds until `end`. Raises BadUrl when there are none."""
    if (left := end - time.monotonic()) <= 0:
        raise BadUrl("the host of the URL takes too long to answer")
    return left


@contextmanager
def _cut_at(connection: HTTPConnection, end: float) -> Iterator[None]:
    """End the connection at `end`: a time limit of a socket begins anew with every byte."""
    sock = connection.sock
    timer = threading.Timer(_left(end), _cut, [sock])
    timer.start()
    try:
        yield
    except (HTTPError, HTTPException, OSError, ValueError):
        _left(end)
        raise
    finally:
        timer.cancel()
    _left(end)


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):  # closed meanwhile
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # under TLS too, without its farewell
