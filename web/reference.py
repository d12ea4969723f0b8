"""The API's own description: the OpenAPI document for programs, and a page of it for people."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from web.current import choose_shelf
from web.openapi import SERVER, document

blueprint = Blueprint("reference", __name__)


@blueprint.get(f"{SERVER}/openapi.json")
def openapi() -> dict[str, Any]:
    return _document()


@blueprint.get("/api")
def page() -> str:
    choose_shelf(request.args.get("collection"))  # for the links to other pages
    return render_template("reference.html", document=_document())


def _document() -> dict[str, Any]:
    return document(request.host_url.rstrip("/") + SERVER)
