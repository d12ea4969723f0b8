"""The API's own description: the OpenAPI document for programs, and a page of it for people."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from web.current import choose_shelf
from web.openapi import SERVER, document
from web.shapes import Schema

blueprint = Blueprint("reference", __name__)


@blueprint.get(f"{SERVER}/openapi.json")
def openapi() -> dict[str, Any]:
    return _document()


@blueprint.get("/api")
def page() -> str:
    choose_shelf(request.args.get("collection"))  # for the links to other pages
    return render_template("reference.html", document=_document(), meaning=_meaning)


def _meaning(schema: Schema) -> str:
    """What a field means and how far it may go, on one line."""
    parts = [
        schema.get("description"),
        "maximum" in schema and f"from {schema['minimum']:,} to {schema['maximum']:,}",
        "maxLength" in schema and f"at most {schema['maxLength']:,} characters",
        "maxItems" in schema and f"at most {schema['maxItems']:,}",
        "default" in schema and f"default {schema['default']}",
    ]
    return " · ".join(part for part in parts if part)


def _document() -> dict[str, Any]:
    return document(request.host_url.rstrip("/") + SERVER)
