"""A request under a name that the server does not go by -> refused.

A page elsewhere may give its own name this machine's address, and would then be let in by the browser (DNS rebinding).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Flask, request
from flask.typing import ResponseReturnValue

from web.errors import body


def register(app: Flask, names: Sequence[str]) -> None:
    """Names without ports; IPv6 addresses stand in brackets. Werkzeug's TRUSTED_HOSTS cannot hold those."""
    known = frozenset(name.lower() for name in names)

    def refuse_strange_names() -> ResponseReturnValue | None:
        host = request.headers.get("Host", "")
        if re.sub(r":\d*$", "", host).lower() in known:
            return None
        return _refusal(f"this server does not go by the name {host[:100]!r}; to let it, start it with --allow-host")

    app.before_request(refuse_strange_names)


def _refusal(message: str) -> ResponseReturnValue:
    """As text: a page would show what is here."""
    if request.path.startswith("/api/"):
        return body(403, "forbidden", message), 403
    return message + "\n", 403, {"Content-Type": "text/plain; charset=utf-8"}
