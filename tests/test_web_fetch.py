"""A picture at a URL is asked with as if it had been sent, and nothing leads to a machine that is not public.

Servers run on this machine; a resolver and a connector that are given let public names stand for them.
"""

from __future__ import annotations

import gzip
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import pytest
from urllib3.connection import HTTPConnection

import web.fetch
from search.collection import Collection
from search.errors import BadQuery
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_web_api import error_of, names, picture
from web.app import create_app
from web.fetch import BadUrl, Fetcher, resolve
from web.public import is_public

PUBLIC, OTHER = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
PNG = picture("blue")

Answer = Callable[[BaseHTTPRequestHandler], None]


def send(status: int = 200, body: bytes = PNG, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"content_type": "image/png", **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


class Internet:
    """A server that answers to every public address, and what was asked of it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Answer] = {}
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[tuple[str | None, str]] = []
        self.connected: list[str] = []
        internet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                internet.asked.append((self.headers["Host"], self.path))
                internet.pages[self.path](self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients here leave early
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.02])
        self.thread.start()

    def resolve(self, name: str, port: int) -> list[str]:
        return self.addresses[name] if name in self.addresses else resolve(name, port)

    def connect(self, url: SplitResult, address: str, port: int, timeout_s: float) -> HTTPConnection:
        assert is_public(address)
        assert port == {"http": 80, "https": 443}[url.scheme]
        self.connected.append(address)
        return web.fetch.connect(url, "127.0.0.1", self.server.server_address[1], timeout_s)

    def fetcher(self, max_bytes: int = 1_000_000, timeout_s: float = 20.0) -> Fetcher:
        return Fetcher(max_bytes, timeout_s, self.resolve, self.connect)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def internet() -> Iterator[Internet]:
    internet = Internet()
    internet.addresses = {"example.org": [PUBLIC], "localhost.": ["127.0.0.1"]}
    internet.pages["/a.png?size=1"] = internet.pages["/"] = send()
    yield internet
    internet.close()


def refusal(internet: Internet, url: str, **limits: Any) -> str:
    with pytest.raises(BadUrl) as refused:
        internet.fetcher(**limits)(url)
    return str(refused.value)


def test_a_picture_is_fetched_from_the_address_that_was_checked(internet: Internet) -> None:
    assert internet.fetcher()("http://example.org/a.png?size=1#part") == PNG
    assert internet.asked == [("example.org", "/a.png?size=1")]
    assert internet.connected == [PUBLIC]
    assert internet.fetcher()("http://EXAMPLE.org:80") == PNG


def test_redirections_are_followed_up_to_three(internet: Internet) -> None:
    internet.addresses["images.example.org"] = [OTHER]
    internet.pages["/1"] = send(302, location="/2")
    internet.pages["/2"] = send(308, location="//images.example.org/3")
    internet.pages["/3"] = send(301, location="http://example.org/")
    assert internet.fetcher()("http://example.org/1") == PNG
    assert internet.connected == [PUBLIC, PUBLIC, OTHER, PUBLIC]
    internet.pages["/0"] = send(303, location="/1")
    assert "more than 3 redirections" in refusal(internet, "http://example.org/0")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data",
        "//10.0.0.1",
    ],
)
def test_a_redirection_to_this_network_is_not_followed(internet: Internet, elsewhere: str) -> None:
    internet.pages["/away"] = send(302, location=elsewhere)
    assert "not on the public internet" in refusal(internet, "http://example.org/away")
    assert internet.connected == [PUBLIC]


@pytest.mark.parametrize(
    "elsewhere", ["file:///etc/passwd", "ftp://example.org/", "http://example.org:22/", "http://["]
)
def test_a_redirection_to_something_else_is_not_followed(internet: Internet, elsewhere: str) -> None:
    internet.pages["/away"] = send(302, location=elsewhere)
    refusal(internet, "http://example.org/away")
    assert internet.connected == [PUBLIC]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_an_address_in_any_spelling_is_refused_unless_public(internet: Internet, host: str) -> None:
    """The system's own resolver reads them; it needs no network for numbers."""
    assert "is not on the public internet" in refusal(internet, f"http://{host}/")
    assert internet.connected == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True),
        (OTHER, True),
        ("64:ff9b::5db8:d70e", True),
        ("::ffff:93.184.215.14", True),
        ("2001:0:5db8:d70e::1", False),
        ("2001:db8::1", False),
        ("ff02::1", False),
        ("fe80::1%1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
    ],
)
def test_public_is_what_the_registries_call_global(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_one_address_that_is_not_public_is_enough(internet: Internet) -> None:
    internet.addresses["example.org"] = [PUBLIC, "127.0.0.1"]
    assert "not on the public internet" in refusal(internet, "http://example.org/")
    assert internet.connected == []


def test_a_name_that_changes_its_address_is_asked_where_it_was_checked(internet: Internet) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    fetcher = Fetcher(1_000_000, 20.0, lambda _name, _port: next(answers), internet.connect)
    internet.pages["/again"] = send(302, location="http://example.org/")
    with pytest.raises(BadUrl, match="not on the public internet"):
        fetcher("http://example.org/again")
    assert internet.connected == [PUBLIC]


def test_the_next_address_is_tried_where_one_does_not_answer(internet: Internet) -> None:
    internet.addresses["example.org"] = [OTHER, PUBLIC]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        closed = silent.getsockname()[1]

    def connect(url: SplitResult, address: str, port: int, timeout_s: float) -> HTTPConnection:
        if address == OTHER:
            return HTTPConnection("127.0.0.1", closed, timeout=timeout_s)
        return internet.connect(url, address, port, timeout_s)

    assert Fetcher(1_000_000, 20.0, internet.resolve, connect)("http://example.org/") == PNG


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "http:// or https://"),
        ("example.org/a.png", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("gopher://example.org/", "http:// or https://"),
        ("data:image/png;base64,AAAA", "http:// or https://"),
        ("http:///a.png", "http:// or https://"),
        ("http://user:secret@example.org/", "without"),
        ("http://example.org@127.0.0.1/", "without"),
        ("http://example.org:8080/", "port 8080"),
        ("https://example.org:80/", "port 80"),
        ("http://example.org:x/", "not a URL"),
        ("http://[::1/", "not a URL"),
        ("http://example.org/\r\nX: y", "encode"),
        ("http://example.org\\@127.0.0.1/", "encode"),
        ("http://ex\u00e4mple.org/", "encode"),
        (f"http://example.org/{'a' * 2000}", "longer than 2,000"),
        (f"http://{'a' * 70}.org/", "cannot be fetched"),
        ("http://nowhere.invalid/", "no host is called nowhere.invalid"),
    ],
)
def test_what_is_no_url_of_a_picture_is_refused(internet: Internet, url: str, told: str) -> None:
    internet.addresses["nowhere.invalid"] = []

    def resolve(name: str, port: int) -> list[str]:
        if name == "nowhere.invalid":
            raise OSError(name)
        return internet.resolve(name, port)

    with pytest.raises(BadUrl, match=told):
        Fetcher(1_000, 20.0, resolve, internet.connect)(url)
    assert internet.connected == []


def endless(request: BaseHTTPRequestHandler) -> None:
    send(body=b"")(request)
    while True:
        request.wfile.write(b"\0" * 65536)


def drip_body(request: BaseHTTPRequestHandler) -> None:
    send(body=b"")(request)
    while not stopped.wait(0.02):
        request.wfile.write(b"\0")


def drip_headers(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/png\r\nX: ")
    while not stopped.wait(0.02):
        request.wfile.write(b"x")


def nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"SSH-2.0-OpenSSH\r\n")


def silence(_request: BaseHTTPRequestHandler) -> None:
    stopped.wait(20)


stopped = threading.Event()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (send(404), "answers with status 404"),
        (send(206), "answers with status 206"),
        (send(content_type="text/html; charset=utf-8"), "text/html, not to a picture"),
        (send(content_type=""), "something without a type"),
        (send(body=gzip.compress(b"\0" * 5_000_000), content_encoding="gzip"), "compressed"),
        (send(content_length="99"), "cannot be fetched"),
        (send(302), "redirections"),
        (endless, "larger than 100,000 bytes"),
        (nonsense, "cannot be fetched"),
    ],
    ids=["404", "206", "html", "no-type", "gzip", "cut", "nowhere", "endless", "nonsense"],
)
def test_an_answer_without_a_picture_is_refused(internet: Internet, answer: Answer, told: str) -> None:
    internet.pages["/"] = answer
    assert told in refusal(internet, "http://example.org/", max_bytes=100_000)


@pytest.mark.parametrize("answer", [drip_body, drip_headers, silence])
def test_a_host_that_takes_its_time_is_cut_off(internet: Internet, answer: Answer) -> None:
    stopped.clear()
    internet.pages["/"] = answer
    try:
        assert "takes too long" in refusal(internet, "http://example.org/", timeout_s=0.5)
    finally:
        stopped.set()


def test_only_some_urls_are_fetched_at_once(internet: Internet) -> None:
    taken = [web.fetch._fetching.acquire(blocking=False) for _ in range(web.fetch.AT_ONCE)]
    try:
        assert all(taken)
        assert "try again" in refusal(internet, "http://example.org/")
    finally:
        for _ in taken:
            web.fetch._fetching.release()
    assert internet.fetcher()("http://example.org/") == PNG


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here to make a certificate with")
def test_certificates_are_checked_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.org"]
    names = ["-addext", "subjectAltName=DNS:example.org", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*words, *names], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    asked_for: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    internet = Internet(tls)
    try:
        internet.addresses = {"example.org": [PUBLIC], "other.example": [PUBLIC]}
        internet.pages["/"] = send()
        assert "cannot be fetched" in refusal(internet, "https://example.org/")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert internet.fetcher()("https://example.org/") == PNG
        assert "cannot be fetched" in refusal(internet, "https://other.example/")
        assert asked_for[-2:] == ["example.org", "other.example"]
    finally:
        internet.close()


def test_a_url_is_a_term_where_it_is_allowed(
    internet: Internet, collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    ask = {"terms": [{"url": "http://example.org/"}], "k": 1}
    client = create_app([collection], lambda _model: encoder, fetch=internet.fetcher()).test_client()
    assert names(client.post("/api/v1/search", json=ask)) == ["blue.webp"]
    looked_up = client.post("/api/v1/lookup", json={"url": "http://example.org/", "k": 1}).get_json()
    assert [candidate["image"]["name"] for candidate in looked_up["candidates"]] == ["blue.webp"]
    refused = client.post("/api/v1/search", json={"terms": [{"url": "http://127.0.0.1/"}]})
    assert error_of(refused) == (400, "bad_url")
    internet.pages["/"] = send(body=b"no picture")
    assert error_of(client.post("/api/v1/search", json=ask)) == (400, "bad_picture")
    assert error_of(client.post("/api/v1/search", json={"terms": ask["terms"] * 5})) == (400, "bad_query")
    closed = create_app([collection], lambda _model: encoder).test_client().post("/api/v1/search", json=ask)
    assert error_of(closed) == (400, "bad_query")
    assert "--allow-fetch" in closed.get_json()["error"]["message"]


def test_a_url_in_the_search_box_is_that_of_a_picture(
    internet: Internet, collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    client = create_app([collection], lambda _model: encoder, fetch=internet.fetcher()).test_client()
    led = client.post("/search", data={"q": "http://example.org/ -red"}).headers["Location"]
    assert parse_qs(urlsplit(led).query) == {"url": ["http://example.org/"], "q": ["-red"]}
    shown = client.get(led).get_data(as_text=True)
    assert re.findall(r'<span class="name">([^<]*)</span>', shown)[0] == "blue.webp"
    preview = unescape(re.findall(r'<span class="chip">\s*<img src="([^"]+)"', shown)[0])
    assert client.get(preview).mimetype == "image/webp"
    assert client.get(f"{led}&after=1.1").status_code == 200
    assert len(internet.asked) == 1  # kept with the uploads
    for url in ("http://127.0.0.1/", "http://localhost./"):
        refused = client.get("/search", query_string={"url": url})
        assert refused.status_code == 400
        assert "not on the public internet" in refused.get_data(as_text=True)
    assert len(internet.asked) == 1


def test_a_page_that_fetches_nothing_says_so(collection: Collection, encoder: ColorEncoder) -> None:
    client = create_app([collection], lambda _model: encoder).test_client()
    led = client.post("/search", data={"q": "http://example.org/"}).headers["Location"]
    answer = client.get(led)
    assert answer.status_code == 400
    assert "--allow-fetch" in answer.get_data(as_text=True)


def test_a_bad_url_is_a_bad_query() -> None:
    assert issubclass(BadUrl, BadQuery)
