"""`POST /api/v1/embed`: texts and pictures -> their unit vectors, by the model of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Blueprint, Request, request
from numpy.typing import NDArray

from search.errors import BadPicture, BadQuery
from search.query import ImageTerm
from search.searcher import Searcher
from web.body import FORMS, files, read_form, read_object, string, strings
from web.current import choose_shelf
from web.params import read_text
from web.present import model_name

blueprint = Blueprint("embed", __name__, url_prefix="/api/v1")

MAX_ITEMS = 64
"""Texts and pictures that one request may bring."""

_FIELDS = ("texts", "images", "collection")


@dataclass(frozen=True, slots=True)
class Items:
    """What is to be embedded. `images` are files as they came; `collection` is None for the default one."""

    texts: list[str]
    images: list[bytes]
    collection: str | None


@blueprint.post("/embed")
def embed() -> dict[str, Any]:
    items = _read(request)
    shelf = choose_shelf(items.collection)
    embedder, identity = shelf.searcher.embedder, shelf.collection.identity
    lengths = embedder.lengths(items.texts)
    return {
        "collection": shelf.name,
        "model": model_name(identity),
        "dim": identity.dim,
        "texts": embedder.embed_texts(items.texts).tolist() if items.texts else [],
        "images": [row.tolist() for row in rows_of_images(shelf.searcher, items.images)],
        "truncated": any(length.truncated for length in lengths),
        "tokens": [length.tokens for length in lengths],
        "context": embedder.encoder.context,
    }


def rows_of_images(searcher: Searcher, images: Sequence[bytes]) -> list[NDArray[np.float32]]:
    """(dim,) each, one after the other: a decoded picture may be large. Raises BadPicture that says which."""
    rows = []
    for place, data in enumerate(images):
        try:
            rows.append(searcher.embedder.embed(ImageTerm(data)))
        except BadPicture as error:
            raise BadPicture(f"images[{place}]: {error}") from error
    return rows


def _read(request: Request) -> Items:
    if request.mimetype in FORMS:
        form = read_form(request, ("texts", "collection"), ("images",), several=("texts", "images"))
        texts: list[str] = form.getlist("texts")
        images = [file.read() for file in request.files.getlist("images")]
        collection = form.get("collection")
    else:
        body = read_object(request, _FIELDS, '{"texts": ["a dog"], "images": ["<base64>"]}')
        texts = strings("texts", body.get("texts", []))
        images = files("images", body.get("images", []))
        collection = string("collection", body.get("collection", ""))
    if not 1 <= (count := len(texts) + len(images)) <= MAX_ITEMS:
        raise BadQuery(f"{count} texts and images; give 1 to {MAX_ITEMS}")
    return Items([read_text(text) for text in texts], images, collection)
