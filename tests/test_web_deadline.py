"""A request that takes too long is answered all the same, and holds no thread of the server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from werkzeug.test import Client, create_environ
from werkzeug.wrappers import Response

from search.collection import Collection
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.app import create_app
from web.deadline import SPARE, Limited


class StuckEncoder(ColorEncoder):
    """Encodes nothing before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self.may.wait(20)
        return super().encode_texts(texts)


@pytest.fixture
def stuck() -> Iterator[StuckEncoder]:
    encoder = StuckEncoder()
    yield encoder
    encoder.may.set()


def test_a_stuck_search_is_given_up_and_others_go_on(
    collection: Collection, stuck: StuckEncoder, index: Build, photos: Path
) -> None:
    index(photos)
    client = Client(Limited(create_app([collection], lambda _model: stuck).wsgi_app, threads=2, limit_s=1))
    for path, kind in (("/api/v1/search?q=red", "application/json"), ("/search?q=red", "text/plain")):
        slow = client.get(path)
        assert slow.status_code == 503
        assert slow.mimetype == kind
        assert "1 seconds" in slow.get_data(as_text=True)
        assert slow.headers["X-Content-Type-Options"] == "nosniff"
        assert kind == "text/plain" or json.loads(slow.data)["error"]["code"] == "service_unavailable"
    assert client.get("/api/v1/health").status_code == 200


def test_a_request_for_the_head_alone_that_is_given_up_gets_no_body() -> None:
    may = threading.Event()

    def app(_environ: Any, _start_response: Any) -> list[bytes]:
        may.wait(20)
        return []

    slow = Limited(app, threads=1, limit_s=0.2)
    answers: list[str] = []
    for method, has_body in (("GET", True), ("HEAD", False)):
        environ = create_environ("/api/v1/search", method=method)
        body = b"".join(slow(environ, lambda status, *_: answers.append(status)))  # type: ignore[arg-type]
        assert bool(body) is has_body
    assert answers == ["503 Service Unavailable"] * 2
    may.set()


def test_what_was_given_up_ends_at_its_next_stage(
    collection: Collection, stuck: StuckEncoder, index: Build, photos: Path
) -> None:
    index(photos)
    app = create_app([collection], lambda _model: stuck)
    ended: list[str] = []
    done = threading.Event()

    def watched(environ: Any, start_response: Any) -> Any:
        def note(status: str, *rest: Any) -> Any:
            ended.append(status)
            return start_response(status, *rest)

        answer = app.wsgi_app(environ, note)
        done.set()
        return answer

    assert Client(Limited(watched, threads=1, limit_s=0.2)).get("/api/v1/search?q=red").status_code == 503
    stuck.may.set()
    assert done.wait(20)
    assert ended == ["503 SERVICE UNAVAILABLE"]


def test_when_all_threads_are_stuck_the_answer_is_still_given() -> None:
    may, closed = threading.Event(), threading.Semaphore(0)

    class Body(list[bytes]):
        def close(self) -> None:
            closed.release()

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        assert may.wait(20)
        start_response("200 OK", [])
        return Body([b"late"])

    client = Client(Limited(app, threads=1, limit_s=0.5), Response)
    assert {client.get("/").status_code for _ in range(SPARE + 1)} == {503}
    may.set()
    assert all(closed.acquire(timeout=20) for _ in range(SPARE))  # those that ran; the others never began
    assert client.get("/").data == b"late"


def test_what_is_in_time_is_answered_as_without_a_limit(collection: Collection, encoder: ColorEncoder) -> None:
    app = create_app([collection], lambda _model: encoder)
    limited = Client(Limited(app.wsgi_app, threads=1))
    for path in ("/", "/api/v1/images/1", f"{app.static_url_path}/base.css"):
        with Client(app.wsgi_app).get(path) as plain, limited.get(path) as same:
            assert (same.status_code, same.data) == (plain.status_code, plain.data)
            assert sorted(same.headers.keys()) == sorted(plain.headers.keys())
