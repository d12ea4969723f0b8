"""A request that changes something -> refused when another site's page sends it (cross-site request forgery).

As Go's http.CrossOriginProtection decides: browsers say where a request comes from, other programs say nothing.
"""

from __future__ import annotations

from flask import Flask, request
from werkzeug.exceptions import Forbidden

_READING = frozenset(("GET", "HEAD", "OPTIONS"))


def register(app: Flask) -> None:
    app.before_request(_refuse_other_sites)


def _refuse_other_sites() -> None:
    if request.method not in _READING and not _is_from_here():
        raise Forbidden("this was sent by a page of another site; open the page here and send it again")


def _is_from_here() -> bool:
    if site := request.headers.get("Sec-Fetch-Site"):
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("Host", "-")
