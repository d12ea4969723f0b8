"""`/api/v1/images/{id}/texts`: an image -> the captions of its collection and the labels that are nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, request

from search.errors import BadQuery
from search.prompts import PLAIN
from search.query import IdTerm
from search.ranking import read_cursor
from web.api import answer
from web.body import read_object, string, strings, whole
from web.classify import checked, read_templates
from web.current import choose_shelf
from web.params import once
from web.terms import Query, json_filter, refine

blueprint = Blueprint("texts", __name__, url_prefix="/api/v1")

NEAREST_TEXTS = 5
"""How many texts, and as many labels, are returned unless told otherwise."""

_FIELDS = ("labels", "templates", "k", "collection", "where", "filter", "after")


@blueprint.get("/images/<int:image_id>/texts")
def texts(image_id: int) -> dict[str, Any]:
    """The captions, its own among them, and the labels that the collection is tagged by."""
    asked = refine([IdTerm(image_id)], once(request.args), NEAREST_TEXTS)
    if "target" in request.args and asked.target != "texts":
        raise BadQuery(f"target is {asked.target!r}; here it is texts")
    return _near(image_id, asked, [], ())


@blueprint.post("/images/<int:image_id>/texts")
def texts_and_labels(image_id: int) -> dict[str, Any]:
    """The same with the labels of the body, if it has any."""
    body = read_object(request, _FIELDS, '{"labels": ["dog", "cat"]}')
    query = Query(
        terms=[IdTerm(image_id)],
        k=whole("k", body.get("k", NEAREST_TEXTS)),
        target="texts",
        collection=string("collection", body.get("collection", "")),
        where=json_filter(body),
        sort="relevance",
        ranking="balanced",
        exact=False,
        after=read_cursor(string("after", body.get("after", ""))),
    )
    labels, templates = strings("labels", body.get("labels", [])), read_templates(body.get("templates", PLAIN))
    return _near(image_id, query, labels, templates)


def _near(image_id: int, query: Query, labels: Sequence[str], templates: Sequence[str]) -> dict[str, Any]:
    found = answer(replace(query, target="texts"))
    shelf = choose_shelf(query.collection)
    classifier = shelf.classifier(*checked(labels, templates)) if labels else None
    nearest = shelf.nearest_labels(image_id, classifier, query.k)
    return {**found, "labels": [near._asdict() for near in nearest]}
