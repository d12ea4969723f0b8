"""`POST /api/v1/classify`: pictures and labels -> how probable each label is for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Blueprint, Request, request
from numpy.typing import NDArray
from werkzeug.exceptions import NotFound

from search.errors import BadPicture, BadQuery
from search.prompts import PLAIN, templates_of
from search.query import IdTerm, ImageTerm
from web.body import FORMS, files, read_form, read_object, string, strings, whole
from web.current import choose_shelf
from web.embed import MAX_ITEMS, rows_of_images
from web.library import Shelf
from web.params import read_number, read_text
from web.present import model_name
from web.terms import MAX_URLS, fetched

blueprint = Blueprint("classify", __name__, url_prefix="/api/v1")

MAX_PROMPTS = 2_000
"""Labels times templates that one request may bring: all of them go through the text tower."""

_FIELDS = ("images", "urls", "image_ids", "labels", "templates", "collection")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be classified: files as they came, pictures to fetch, images by id, in this order.

    `collection` is None for the default one.
    """

    images: list[bytes]
    urls: list[str]
    image_ids: list[int]
    labels: list[str]
    templates: tuple[str, ...]
    collection: str | None


@blueprint.post("/classify")
def classify() -> dict[str, Any]:
    asked = _from_form(request) if request.mimetype in FORMS else _from_json(request)
    if not 1 <= (count := len(asked.images) + len(asked.urls) + len(asked.image_ids)) <= MAX_ITEMS:
        raise BadQuery(f"{count} images; give 1 to {MAX_ITEMS}")
    if len(asked.urls) > MAX_URLS:
        raise BadQuery(f"{len(asked.urls)} URLs; give {MAX_URLS} at most, and the other images as files")
    shelf = choose_shelf(asked.collection)
    classifier = shelf.classifier(*checked(asked.labels, asked.templates))
    by_id = _rows_of_ids(shelf, asked.image_ids)
    rows = np.stack([*rows_of_images(shelf.searcher, asked.images), *_rows_of_urls(shelf, asked.urls), *by_id])
    return {
        "collection": shelf.name,
        "model": model_name(shelf.collection.identity),
        "labels": list(classifier.labels),
        "probabilities": classifier.probabilities(rows).tolist(),
        "logits_per_image": classifier.logits_per_image(rows).tolist(),
        "logits_per_text": classifier.logits_per_text(rows).tolist(),
    }


def checked(labels: Sequence[str], templates: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels and templates, each on one line, if they are not too many to encode."""
    if len(labels) * len(templates) > MAX_PROMPTS:
        raise BadQuery(f"{len(labels)} labels times {len(templates)} templates; give {MAX_PROMPTS:,} texts at most")
    return tuple(read_text(label) for label in labels), tuple(read_text(template) for template in templates)


def _rows_of_ids(shelf: Shelf, image_ids: Sequence[int]) -> list[NDArray[np.float32]]:
    """The stored vectors; NotFound that says which for an unknown id."""
    for place, image_id in enumerate(image_ids):
        try:
            shelf.record(image_id)
        except NotFound as error:
            raise NotFound(f"image_ids[{place}]: {error.description}") from error
    return [shelf.searcher.embedder.embed(IdTerm(image_id)) for image_id in image_ids]


def _rows_of_urls(shelf: Shelf, urls: Sequence[str]) -> list[NDArray[np.float32]]:
    """(dim,) each, one after the other. Raises BadQuery, BadUrl and BadPicture that say which."""
    rows = []
    for place, url in enumerate(urls):
        try:
            rows.append(shelf.searcher.embedder.embed(ImageTerm(fetched(url))))
        except (BadPicture, BadQuery) as error:
            raise type(error)(f"urls[{place}]: {error}") from error
    return rows


def _from_form(request: Request) -> Asked:
    lists = ("urls", "image_ids", "labels", "templates")
    form = read_form(request, (*lists, "collection"), ("images",), several=(*lists, "images"))
    given = form.getlist("templates") or [PLAIN]
    ids = [read_number("image_ids", text) for text in form.getlist("image_ids")]
    return Asked(
        images=[file.read() for file in request.files.getlist("images")],
        urls=form.getlist("urls"),
        image_ids=[image_id for image_id in ids if image_id is not None],
        labels=form.getlist("labels"),
        templates=templates_of(given[0]) if len(given) == 1 else tuple(given),
        collection=form.get("collection"),
    )


def _from_json(request: Request) -> Asked:
    body = read_object(request, _FIELDS, '{"images": ["<base64>"], "labels": ["dog", "cat"]}')
    ids = body.get("image_ids", [])
    if not isinstance(ids, list):
        raise BadQuery("image_ids is a list of whole numbers")
    return Asked(
        images=files("images", body.get("images", [])),
        urls=strings("urls", body.get("urls", [])),
        image_ids=[whole(f"image_ids[{place}]", image_id) for place, image_id in enumerate(ids)],
        labels=strings("labels", body.get("labels", [])),
        templates=read_templates(body.get("templates", PLAIN)),
        collection=string("collection", body.get("collection", "")),
    )


def read_templates(value: Any) -> tuple[str, ...]:
    """The name of a set, or one's own."""
    return templates_of(value) if isinstance(value, str) else tuple(strings("templates", value))
