"""Collections and a way to load their encoders -> the Flask application."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from flask.json.provider import DefaultJSONProvider

from search.collection import Collection
from search.types import SHOW
from web import (
    api,
    auth,
    classify,
    duplicates,
    embed,
    errors,
    hosts,
    lookup,
    media,
    origin,
    pages,
    places,
    present,
    rate,
    reference,
    safety,
    score,
    texts,
)
from web.access import EVERYONE, Access
from web.asked import Asked
from web.body import unrepeated
from web.current import fetch_of, library_of
from web.fetch import Fetch
from web.library import Library, LoadEncoder
from web.uploads import Uploads

STATIC = Path(__file__).parent / "static"

MAX_UPLOAD_BYTES = 64_000_000
"""Largest body of a request; a longer one gets 413."""


def create_app(
    collections: Sequence[Collection],
    load_encoder: LoadEncoder,
    *,
    uploads: Uploads | None = None,
    access: Access = EVERYONE,
    fetch: Fetch | None = None,
) -> Flask:
    """The application over `collections`, of which the first is the default.

    `load_encoder` is called with an encoder's identity when a query first needs it, or by `library_of(app).warm()`.
    Requests may be answered on several threads at once, and by several processes that share `uploads`.
    Without `fetch` no URL that a visitor gives is looked at.
    """
    from web.instruments import Instruments  # the server says before whether its processes count together

    app = Flask(__name__, static_url_path=f"/static/{_version_of(STATIC)}")
    app.config.update(MAX_CONTENT_LENGTH=MAX_UPLOAD_BYTES)
    app.json = _Json(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    instruments = Instruments()
    instruments.register(app)
    app.extensions["library"] = Library(
        collections, load_encoder, uploads or Uploads(), observe=instruments.observe_stage
    )
    app.extensions["fetch"] = fetch
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(duplicates.blueprint)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(texts.blueprint)
    app.register_blueprint(embed.blueprint)
    app.register_blueprint(lookup.blueprint)
    app.register_blueprint(classify.blueprint)
    app.register_blueprint(score.blueprint)
    app.register_blueprint(reference.blueprint)
    app.register_blueprint(media.blueprint)
    app.jinja_env.filters.update(present.FILTERS)
    app.context_processor(_names_for_templates)
    app.url_defaults(_keep_collection)
    app.url_defaults(_keep_sensitive)
    app.after_request(_keep_static)
    errors.register(app)
    safety.register(app)
    if access.hosts:
        hosts.register(app, access.hosts)
    origin.register(app)
    places.register(app, shown=access.places)
    if access.rate is not None:
        rate.register(app, access.rate)
    if access.token is not None:
        auth.register(app, access.token)
    return app


class _Json(DefaultJSONProvider):
    sort_keys = False

    def loads(self, s: str | bytes, **options: Any) -> Any:
        return super().loads(s, object_pairs_hook=unrepeated, **options)


def _version_of(folder: Path) -> str:
    """Changes with the files. It is a part of their paths, so that one that imports another has its version."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _keep_static(response: Response) -> Response:
    """Browsers keep files whose path has their version, and ask for none of them with the next page."""
    if request.endpoint == "static" and response.status_code == HTTPStatus.OK:
        response.headers["Cache-Control"] = media.FOR_GOOD
    return response


def _names_for_templates() -> dict[str, Any]:
    library = library_of()
    return {
        "library": library,
        "shelf": g.get("shelf", library.default),
        "asked": Asked(),
        "may_fetch": fetch_of() is not None,
        "places_shown": places.are_shown(),
        "signed_in": auth.is_known(),
        "may_sign_out": auth.is_asked_for() and auth.is_known(),
    }


def _keep_collection(endpoint: str, values: dict[str, Any]) -> None:
    """Links stay in the collection of the request, unless that is the default or they name another."""
    shelf = g.get("shelf")
    if endpoint != "static" and shelf is not None and shelf is not library_of().default:
        values.setdefault("collection", shelf.name)


def _keep_sensitive(endpoint: str, values: dict[str, Any]) -> None:
    """Who sees images with a sensitive tag sees those that are like them too."""
    if endpoint == "pages.image" and has_request_context() and request.args.get("sensitive") == SHOW:
        values.setdefault("sensitive", SHOW)
