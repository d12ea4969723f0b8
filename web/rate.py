"""More requests from one client than a rate such as "300/minute" allows -> 429, with when to come back."""

from __future__ import annotations

import time

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address
from werkzeug.exceptions import TooManyRequests

from web.errors import http_error

_FREE = frozenset(("static", "media.original", "media.thumbnail", "media.upload", "api.health", "api.ready", "metrics"))
"""What pages are made of, by the dozen, and what watches over the server."""


def register(app: Flask, rate: str) -> None:
    """Each process counts for itself, in memory: with several, a client may be answered more often."""
    limiter = Limiter(
        get_remote_address, app=app, application_limits=[rate], storage_uri="memory://", strategy="moving-window"
    )
    limiter.request_filter(lambda: request.endpoint in _FREE)

    def refuse(error: RateLimitExceeded) -> ResponseReturnValue:
        limit = limiter.current_limit
        wait_s = max(1, limit.reset_at - int(time.time())) if limit else 60
        message = f"more than {error.description} from one address; try again in {wait_s} seconds"
        return http_error(TooManyRequests(message, retry_after=wait_s))

    app.register_error_handler(RateLimitExceeded, refuse)
