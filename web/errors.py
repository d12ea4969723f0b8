"""What goes wrong -> a status, a code and a message: as JSON under /api, as a page elsewhere."""

from __future__ import annotations

import logging
from dataclasses import replace

from flask import Flask, Response, current_app, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from search.errors import BadPicture, BadQuery, CollectionError, ModelUnavailable, SearchError
from web.asked import Asked
from web.current import library_of
from web.fetch import BadUrl

_log = logging.getLogger(__name__)

_ASKED_WRONG: tuple[tuple[type[SearchError], str], ...] = (
    (BadUrl, "bad_url"),
    (BadQuery, "bad_query"),
    (BadPicture, "bad_picture"),
)

_BROKEN: tuple[tuple[type[SearchError], str, str], ...] = (
    (ModelUnavailable, "model_unavailable", "the collection's model cannot be loaded; the server's log says why"),
    (CollectionError, "collection_unavailable", "the collection cannot be read just now; the server's log says why"),
)
"""Faults of the server. Their own messages name directories, which are for the log."""


def register(app: Flask) -> None:
    app.before_request(_check_query_string)
    app.register_error_handler(SearchError, _search_error)
    app.register_error_handler(HTTPException, http_error)


def _check_query_string() -> None:
    """Only bytes beyond ASCII that stand there as they are can be wrong; what is escaped, werkzeug reads leniently."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the URL's query is not UTF-8: byte {error.start} of it is wrong; write it as %XX") from error


def body(status: int, code: str, message: str) -> Response:
    """What every error of the API looks like."""
    return jsonify(error={"status": status, "code": code, "message": message})


def _search_error(error: SearchError) -> ResponseReturnValue:
    for kind, code in _ASKED_WRONG:
        if isinstance(error, kind):
            return _answer(400, code, str(error))
    for kind, code, message in _BROKEN:
        if isinstance(error, kind):
            _log.error("%s %s: %s", request.method, request.path, error)
            return _answer(503, code, message)
    raise error


def http_error(error: HTTPException) -> ResponseReturnValue:
    told = error.description or ""
    if isinstance(error, RequestEntityTooLarge):
        told = f"more than the {current_app.config['MAX_CONTENT_LENGTH'] / 1e6:,.0f} MB that a request may bring"
    response = make_response(_answer(error.code or 500, error.name.lower().replace(" ", "_"), told))
    response.headers.extend((name, value) for name, value in error.get_headers() if name != "Content-Type")
    return response


def _answer(status: int, code: str, message: str) -> ResponseReturnValue:
    if request.path.startswith("/api/"):
        return body(status, code, message), status
    return render_template("error.html", status=status, message=message, asked=_asked()), status


def _asked() -> Asked:
    """To be mended in the box, not typed again; nothing, where what was sent cannot be read."""
    try:
        request.query_string.decode()
        asked = Asked.read_what_can_be(request.values)
    except (UnicodeDecodeError, HTTPException):
        return Asked()
    held = asked.picture is not None and library_of().uploads.get(asked.picture) is not None
    return replace(asked, id=None, picture=asked.picture if held else None, url=None, k=None, after=None)
