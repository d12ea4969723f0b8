"""A WSGI application -> the same, in which no request takes longer than a limit.

Python can end no thread. So each request runs on a thread of a pool while the server's thread waits for it, no longer
than the limit: then the client gets 503 and the server's thread is free. What was given up ends where it next looks at
the clock, between the stages of a search; what never does keeps its thread of the pool, of which there are some to
spare, and the log tells of it. When all are stuck everything is 503, /api/v1/health too: whoever watches it restarts.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import has_request_context, request
from werkzeug.exceptions import ServiceUnavailable

from web.safety import HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LIMIT_S = 60.0
"""For a whole request, once it has been received. The first ones may wait for a model that is being loaded."""

SPARE = 2
"""Threads of the pool for each of the server's."""

_END = "image_search.end"

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


class Limited:
    """Satisfies WSGI. `threads` are those of the server, which call it.

    Its own are daemons, unlike those of a ThreadPoolExecutor: a stuck one does not keep the process from ending.
    """

    def __init__(self, app: WSGIApplication, *, threads: int, limit_s: float = LIMIT_S) -> None:
        self._app = app
        self._limit_s = limit_s
        self._waiting: SimpleQueue[tuple[Future[Answer], WSGIEnvironment]] = SimpleQueue()
        self._given_up = 0
        self._counting = threading.Lock()
        for _ in range(SPARE * threads):
            threading.Thread(target=self._work, name="request", daemon=True).start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[_END] = time.monotonic() + self._limit_s
        running: Future[Answer] = Future()
        self._waiting.put((running, environ))
        try:
            answer = running.result(self._limit_s)
        except TimeoutError:
            self._give_up(running, environ)
            message = (
                f"this took longer than {self._limit_s:g} seconds and was given up; ask for less, or try again later"
            )
            answer = without_flask(environ.get("PATH_INFO", ""), 503, "Service Unavailable", message)
            if environ["REQUEST_METHOD"] == "HEAD":  # who asked so takes a body for the beginning of the next answer
                answer = answer._replace(body=[])
        start_response(answer.status, answer.headers)
        return answer.body

    def _work(self) -> None:
        while True:
            running, environ = self._waiting.get()
            if running.set_running_or_notify_cancel():
                try:
                    running.set_result(self._run(environ))
                except Exception as error:  # noqa: BLE001  (it is the caller's)
                    running.set_exception(error)

    def _run(self, environ: WSGIEnvironment) -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _fault: object = None) -> Any:
            started.append((status, headers))

        body = self._app(environ, start_response)
        status, headers = started[-1]
        return Answer(status, headers, body)

    def _give_up(self, running: Future[Answer], environ: WSGIEnvironment) -> None:
        if running.cancel():  # it never began
            return
        with self._counting:
            self._given_up += 1
        _log.error("%s %s took too long; requests that still run: %d", *_asked(environ), self._given_up)
        running.add_done_callback(self._ended)

    def _ended(self, running: Future[Answer]) -> None:
        with self._counting:
            self._given_up -= 1
        if running.exception() is None:
            _close(running.result().body)


def check() -> None:
    """Raise ServiceUnavailable when nobody waits any more for the answer to the request in hand."""
    if has_request_context() and time.monotonic() > request.environ.get(_END, float("inf")):
        raise ServiceUnavailable("this request took too long")


def _close(body: Iterable[bytes]) -> None:
    """As a server does with the body of an answer: files are closed."""
    if close := getattr(body, "close", None):
        close()


def _asked(environ: WSGIEnvironment) -> tuple[str, str]:
    return environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")


def without_flask(path: str, status: int, reason: str, message: str) -> Answer:
    """An error that Flask does not answer: the error body of the API, and for pages its message."""
    error = {"status": status, "code": reason.lower().replace(" ", "_"), "message": message}
    api = path.startswith("/api/")
    body = (json.dumps({"error": error}) if api else message).encode()
    kind = "application/json" if api else "text/plain; charset=utf-8"
    own = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    if status == 503:
        own["Retry-After"] = "5"
    return Answer(f"{status} {reason}", [*HEADERS.items(), *own.items()], [body])
