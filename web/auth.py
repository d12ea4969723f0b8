"""A token -> only those who have it are answered: programs send it in a header, browsers in a cookie after a login."""

from __future__ import annotations

import hmac
import re
from datetime import timedelta

from flask import Blueprint, Flask, current_app, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

SIGNED_IN_FOR = timedelta(days=30)

_OPEN = frozenset(("auth.login", "auth.enter", "static", "api.health"))
_LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")
"""No backslash, space or control character: browsers read some of these as the `//` that leads to another site."""

blueprint = Blueprint("auth", __name__)


class _Sessions(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        return request.is_secure


def register(app: Flask, token: str) -> None:
    """Another token ends every session: the key of the cookies is made from it."""
    app.secret_key = hmac.digest(token.encode(), b"the key of session cookies", "sha256")
    app.session_interface = _Sessions()
    app.config.update(
        TOKEN=token,
        SESSION_COOKIE_NAME="image_search",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=SIGNED_IN_FOR,
    )
    app.register_blueprint(blueprint)
    app.before_request(_ask_for_the_token)


def is_asked_for() -> bool:
    """Whether this application has a token."""
    return "TOKEN" in current_app.config


def is_known() -> bool:
    """Whether who sent this request may see what is here."""
    if not is_asked_for() or "signed_in" in session:
        return True
    given = request.authorization
    return given is not None and given.type == "bearer" and _is_right(given.token or "")


@blueprint.get("/login")
def login() -> ResponseReturnValue:
    if is_known():
        return redirect(_wanted(request.args.get("next")))
    return render_template("login.html", next=_wanted(request.args.get("next")))


@blueprint.post("/login")
def enter() -> ResponseReturnValue:
    wanted = _wanted(request.form.get("next"))
    if not _is_right(request.form.get("token", "").strip()):
        return render_template("login.html", next=wanted, wrong=True), 403
    session.clear()
    session["signed_in"] = True
    session.permanent = True
    return redirect(wanted, 303)


@blueprint.post("/logout")
def leave() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("auth.login"), 303)


def _ask_for_the_token() -> ResponseReturnValue | None:
    if request.endpoint in _OPEN or is_known():
        return None
    if request.path.startswith("/api/") or request.endpoint == "metrics":
        raise Unauthorized(
            "this server asks for a token; send it in the header Authorization: Bearer TOKEN",
            www_authenticate=WWWAuthenticate("bearer"),
        )
    came_from = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("auth.login", next=came_from), 303)


def _is_right(given: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), current_app.config["TOKEN"].encode())


def _wanted(path: str | None) -> str:
    """Where to go after the login: within this site."""
    return path if path and _LOCAL_PATH.fullmatch(path) else url_for("pages.start")
