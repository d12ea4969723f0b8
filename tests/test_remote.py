"""Queries to a running server, against the same query of its collection."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from flask import Flask, redirect, request

from search.__main__ import main
from search.collection import Collection
from search.errors import BadPicture, ServerError
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm
from search.remote import ask
from search.searcher import Searcher
from search.types import HIDE, Hit, Target
from tests.browser import running
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.access import Access
from web.app import create_app

TOKEN = "a-token-of-some-length"


@pytest.fixture
def server(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> Iterator[str]:
    (photos / "red.txt").write_text("a red square\n")
    index(photos)
    with running(create_app([collection], lambda _: encoder, access=Access(token=TOKEN))) as url:
        yield url


def asked(
    server: str,
    *terms: Term,
    target: Target = "images",
    name: str | None = None,
    where: str = "",
    tags: Sequence[str] = (),
) -> list[Hit]:
    return ask(
        server,
        terms,
        k=2,
        target=target,
        where=where,
        tags=tags,
        sensitive=HIDE,
        ranking="balanced",
        exact=True,
        group=True,
        diverse=True,
        templates="a {}",
        collection=name,
        token=TOKEN,
    ).hits


def test_every_kind_of_term_finds_what_the_collection_itself_finds(
    server: str, searcher: Searcher, photos: Path, encoder: ColorEncoder
) -> None:
    vector = encoder.encode_texts(["green"])[0]
    for terms in (
        [TextTerm("red")],
        [ImageTerm(photos / "green.bmp"), TextTerm("blue", 0.5)],
        [IdTerm(1)],
        [VectorTerm(vector), TextTerm("red", -0.5)],
    ):
        hits, expected = asked(server, *terms), searcher.search(terms, k=2)
        assert [(hit.id, hit.image_id, hit.facts, hit.text) for hit in hits] == [
            (hit.id, hit.image_id, hit.facts, hit.text) for hit in expected
        ]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected])
        assert [hit.path.name for hit in hits] == [hit.path.name for hit in expected]


def test_texts_are_found_in_a_collection_by_its_name(server: str) -> None:
    (hit,) = asked(server, TextTerm("red"), target="texts", name="collection")
    assert (hit.text, str(hit.path)) == ("a red square", "red.png")


def test_a_filter_is_the_servers_to_read(server: str) -> None:
    assert [hit.path.name for hit in asked(server, TextTerm("red"), where="-format:png width<99 format:bmp")] == [
        "green.bmp"
    ]
    with pytest.raises(ServerError, match="answers 400: unknown field 'with'; did you mean width"):
        asked(server, TextTerm("red"), where="with<99")


def test_only_hits_with_the_tags_are_asked_for(server: str) -> None:
    with pytest.raises(ServerError, match=r"answers 400: .*'red'"):
        asked(server, TextTerm("red"), tags=["red"])  # no label of the collection


def test_the_command_line_asks_with_the_token_of_the_environment(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_TOKEN", TOKEN)
    assert main(["blue", "--server", f"{server}/", "-k", "1", "--json"]) == 0
    (hit,) = json.loads(capsys.readouterr().out)["hits"]
    assert hit["path"] == "trip/blue.webp"
    assert main(["blue", "--server", server, "--collection", "nowhere"]) == 2
    assert "no collection is called 'nowhere'" in capsys.readouterr().err
    monkeypatch.delenv("IMAGE_SEARCH_TOKEN")
    assert main(["blue", "--server", server]) == 2
    assert "answers 401: it wants its token; set IMAGE_SEARCH_TOKEN" in capsys.readouterr().err


def test_the_servers_own_words_are_told(server: str) -> None:
    with pytest.raises(ServerError, match="answers 404: no image has the id 99"):
        asked(server, IdTerm(99))


def test_a_picture_that_cannot_be_read_is_told_by_its_name(server: str, tmp_path: Path) -> None:
    with pytest.raises(BadPicture, match=r"nowhere\.jpg: cannot be read"):
        asked(server, ImageTerm(tmp_path / "nowhere.jpg"))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1:8000", "file:///etc/passwd", "http://", "photos"),
        *("http://[::1", "http://127.0.0.1:web", "http://127.0.0.1:99999", "http://127.0.0.1:80/a b"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ServerError, match="is no address of a server"):
        asked(address, TextTerm("red"))


def test_who_does_not_answer_or_answers_something_else_is_told() -> None:
    app, elsewhere = Flask("another"), []
    with running(app) as other:
        app.add_url_rule("/api/v1/search", view_func=lambda: "<p>hello", methods=["POST"])
        app.add_url_rule("/moved/api/v1/search", "moved", lambda: redirect("/elsewhere"), methods=["POST"])
        app.add_url_rule("/elsewhere", "elsewhere", lambda: elsewhere.append(request.headers) or "{}")
        app.add_url_rule("/json/api/v1/search", "json", lambda: {"hits": []}, methods=["POST"])
        for address in (other, f"{other}/json"):
            with pytest.raises(ServerError, match="answers something else"):
                asked(address, TextTerm("red"))
        with pytest.raises(ServerError, match="answers 302"):
            asked(f"{other}/moved", TextTerm("red"))
    assert elsewhere == []
    with pytest.raises(ServerError, match=r"does not answer \(.*refused.*\); does `python -m web` run there"):
        asked(other, TextTerm("red"))


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}"])
def test_what_does_not_speak_http_or_ends_in_the_middle_is_told(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def speak() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(ServerError, match="answers something else"):
            asked(f"http://127.0.0.1:{other.getsockname()[1]}", TextTerm("red"))
        thread.join()
