"""`POST /api/v1/lookup`: one picture -> the images of a collection that it may be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Request, request

from search.errors import BadQuery
from search.lookup import Candidate, by_id, by_image
from web.api import image_to_dict
from web.body import FORMS, read_form, read_object, string, whole
from web.current import choose_shelf
from web.library import Shelf
from web.links import Links
from web.params import read_number, read_sensitive
from web.present import tiles_of_hits
from web.terms import DEFAULT_K, sent

blueprint = Blueprint("lookup", __name__, url_prefix="/api/v1")

_KINDS = ("image", "image_id", "url")
_FIELDS = (*_KINDS, "k", "collection", "sensitive")


@dataclass(frozen=True, slots=True)
class Question:
    """The bytes of a file, or the id of an image. `collection` is None for the default one."""

    picture: bytes | int
    k: int
    collection: str | None
    show_sensitive: bool


@blueprint.post("/lookup")
def look_up() -> dict[str, Any]:
    question = _from_form(request) if request.mimetype in FORMS else _from_json(request)
    shelf = choose_shelf(question.collection)
    candidates = _candidates(shelf, question)
    tiles, links = tiles_of_hits(shelf, [candidate.hit for candidate in candidates]), Links()
    return {
        "collection": shelf.name,
        "found": any(candidate.is_same for candidate in candidates),
        "candidates": [
            {
                "verdict": candidate.verdict,
                "score": candidate.hit.score,
                "evidence": candidate.evidence and asdict(candidate.evidence),
                "image": image_to_dict(tile, links),
            }
            for candidate, tile in zip(candidates, tiles, strict=True)
        ],
    }


def _candidates(shelf: Shelf, question: Question) -> list[Candidate]:
    if isinstance(question.picture, bytes):
        return by_image(shelf.searcher, question.picture, k=question.k, show_sensitive=question.show_sensitive)
    shelf.record(question.picture)
    return by_id(shelf.searcher, question.picture, k=question.k, show_sensitive=question.show_sensitive)


def _from_form(request: Request) -> Question:
    form = read_form(request, ("k", "collection", "sensitive"), ("image",))
    file = request.files.get("image")
    if file is None:
        raise BadQuery("no picture; give a file in the field image")
    k, show_sensitive = read_number("k", form.get("k")), read_sensitive(form.get("sensitive"))
    return Question(file.read(), DEFAULT_K if k is None else k, form.get("collection"), show_sensitive)


def _from_json(request: Request) -> Question:
    body = read_object(request, _FIELDS, '{"image": "<base64>"} or {"image_id": 12}')
    if len(given := [kind for kind in _KINDS if kind in body]) != 1:
        raise BadQuery(f"give one of {', '.join(_KINDS)}, not {' and '.join(given) or 'none'}")
    k, collection = whole("k", body.get("k", DEFAULT_K)), string("collection", body.get("collection", ""))
    show_sensitive = read_sensitive(string("sensitive", body.get("sensitive", "")))
    kind, content = given[0], body[given[0]]
    picture = whole(kind, content) if kind == "image_id" else sent(kind, content)
    return Question(picture, k, collection, show_sensitive)
