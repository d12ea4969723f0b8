"""The library of the application, and the shelf of the request."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app, g

from web.fetch import Fetch
from web.library import Library, Shelf


def library_of(app: Flask | None = None) -> Library:
    """The library of `app`, or of the application that answers now."""
    return cast(Library, (app or current_app).extensions["library"])


def fetch_of() -> Fetch | None:
    """How the application fetches the URLs of visitors, if it does."""
    return cast("Fetch | None", current_app.extensions["fetch"])


def choose_shelf(name: str | None) -> Shelf:
    """Answer this request from the collection of this name; NotFound for a name that is not served."""
    shelf = library_of().shelf(name)
    g.shelf = shelf
    return shelf
