"""The body of a POST to the API, JSON or a form with files -> a query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Request

from search.errors import BadQuery
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm
from search.types import Target
from web.body import FORMS, file_bytes, read_object, string, whole
from web.params import read_number, read_target, read_text

DEFAULT_K = 10
MAX_TERMS = 16
_FIELDS = ("terms", "k", "target", "collection")
_KINDS = ("text", "image_id", "image", "vector")


@dataclass(frozen=True, slots=True)
class Query:
    """What a request to the API asks for. `collection` is None for the default one."""

    terms: list[Term]
    k: int
    target: Target
    collection: str | None


def from_arguments(values: Mapping[str, str], pictures: list[bytes] | None = None) -> Query:
    """From a URL or a form: `q`, `k`, `target`, `collection`, and the files that came with it."""
    terms: list[Term] = [ImageTerm(data) for data in pictures or ()]
    if text := read_text(values.get("q", "")):
        terms.append(TextTerm(text))
    k = read_number("k", values.get("k"))
    return Query(
        _checked(terms), DEFAULT_K if k is None else k, read_target(values.get("target")), values.get("collection")
    )


def from_body(request: Request) -> Query:
    """From JSON or multipart. Raises BadQuery and, for a body of another type, werkzeug's 415."""
    if request.mimetype in FORMS:
        return from_arguments(request.form, [file.read() for file in request.files.getlist("image") if file])
    body = read_object(request, _FIELDS, '{"terms": [{"text": "a dog"}], "k": 10}')
    terms = body.get("terms")
    if not isinstance(terms, list):
        raise BadQuery('"terms" is a list like [{"text": "a dog"}, {"image_id": 12}]')
    return Query(
        terms=_checked([_term(term) for term in terms[: MAX_TERMS + 1]]),
        k=whole("k", body.get("k", DEFAULT_K)),
        target=read_target(string("target", body.get("target", "images"))),
        collection=string("collection", body.get("collection", "")),
    )


def _checked(terms: list[Term]) -> list[Term]:
    if not terms:
        raise BadQuery("an empty query; ask with a text, an image, an image's id or a vector")
    if len(terms) > MAX_TERMS:
        raise BadQuery(f"more than {MAX_TERMS} terms")
    return terms


def _term(value: Any) -> Term:
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in _KINDS:
        raise BadQuery(f"a term is an object with one of {', '.join(_KINDS)}, not {json.dumps(value)[:80]}")
    ((kind, content),) = value.items()
    match kind:
        case "text":
            return TextTerm(read_text(string("text", content)))
        case "image_id":
            return IdTerm(whole("image_id", content))
        case "image":
            return ImageTerm(file_bytes("image", string("image", content)))
        case _:
            return VectorTerm(_vector(content))


def _vector(values: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(dim,) with its largest number 1, so that any length fits float32."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise BadQuery("vector is a list of numbers")
    try:
        vector = np.array([float(value) for value in values])
    except OverflowError:
        raise BadQuery("vector has a number that is too large") from None
    largest = np.abs(vector).max(initial=0.0)
    if not np.isfinite(largest) or largest == 0:
        raise BadQuery("vector has no direction; give finite numbers that are not all 0")
    return np.asarray(vector / largest, dtype=np.float32)
