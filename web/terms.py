"""The body of a POST to the API, JSON or a form with files -> a query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flask import Request

from search.errors import BadQuery
from search.filters import Filter
from search.paging import Sort
from search.prompts import templates_of
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm, parse_text
from search.ranking import Cursor, Cursors, read_cursor
from search.types import Ranking, Wanted
from web.body import FORMS, boolean, file_bytes, number, read_form, read_object, string, whole
from web.current import fetch_of
from web.params import (
    FILTERS,
    read_filter,
    read_number,
    read_ranking,
    read_sort,
    read_target,
    read_text,
    read_yes_or_no,
    refuse_strangers,
)

DEFAULT_K = 10
MAX_TERMS = 16
_REFINING = ("k", "target", "collection", "sort", "ranking", "exact", "group", "diverse", "templates", "after")
_FIELDS = ("terms", "where", "filter", *_REFINING)
_ARGUMENTS = (*_REFINING, *FILTERS)
_WITH_WORDS = ("q", *_ARGUMENTS)
_FILTERS = tuple(name for name in FILTERS if name != "where")
MAX_URLS = 4
_SHOWN = 40
_KINDS = ("text", "image_id", "image", "url", "vector")


@dataclass(frozen=True, slots=True)
class Query:
    """What a request to the API asks for. `collection` is None for the default one."""

    terms: list[Term]
    k: int
    target: Wanted
    collection: str | None
    where: Filter
    sort: Sort
    ranking: Ranking
    exact: bool
    after: Cursor | Cursors | None
    group: bool = False
    diverse: bool = False
    templates: tuple[str, ...] = ()


def from_arguments(values: Mapping[str, str]) -> Query:
    """From a URL: `q`, and the arguments that `refine` reads."""
    refuse_strangers(values, _WITH_WORDS)
    return _in_words(values, ())


def refine(terms: list[Term], values: Mapping[str, str], default_k: int = DEFAULT_K) -> Query:
    """A query of `terms` with the `k`, `target`, `collection`, filters, order and `after` of a URL or a form."""
    refuse_strangers(values, _ARGUMENTS)
    return _refined(terms, values, default_k)


def _in_words(values: Mapping[str, str], pictures: Sequence[bytes]) -> Query:
    """Of known arguments, and the files that came with them."""
    return _refined(_checked(parse_text(read_text(values.get("q", "")), pictures)), values, DEFAULT_K)


def _refined(terms: list[Term], values: Mapping[str, str], default_k: int) -> Query:
    k = read_number("k", values.get("k"))
    return Query(
        terms=terms,
        k=default_k if k is None else k,
        target=read_target(values.get("target")),
        collection=values.get("collection"),
        where=read_filter(values),
        sort=read_sort(values.get("sort")),
        ranking=read_ranking(values.get("ranking")),
        exact=read_yes_or_no("exact", values.get("exact")),
        after=read_cursor(values.get("after")),
        group=read_yes_or_no("group", values.get("group")),
        diverse=read_yes_or_no("diverse", values.get("diverse")),
        templates=_templates(values.get("templates", "")),
    )


def from_body(request: Request) -> Query:
    """From JSON or multipart. Raises BadQuery and, for a body of another type, werkzeug's 415."""
    if request.mimetype in FORMS:
        form = read_form(request, _WITH_WORDS, ("image",), several=("image",))
        return _in_words(form, [file.read() for file in request.files.getlist("image") if file])
    body = read_object(request, _FIELDS, '{"terms": [{"text": "a dog"}], "k": 10}')
    terms = body.get("terms")
    if not isinstance(terms, list):
        raise BadQuery('"terms" is a list like [{"text": "a dog"}, {"image_id": 12}]')
    if sum(isinstance(term, dict) and "url" in term for term in terms) > MAX_URLS:
        raise BadQuery(f"more than {MAX_URLS} URLs")
    return Query(
        terms=_checked([_term(term) for term in terms[: MAX_TERMS + 1]]),
        k=whole("k", body.get("k", DEFAULT_K)),
        target=read_target(string("target", body.get("target", ""))),
        collection=string("collection", body.get("collection", "")),
        where=json_filter(body),
        sort=read_sort(string("sort", body.get("sort", ""))),
        ranking=read_ranking(string("ranking", body.get("ranking", ""))),
        exact=boolean("exact", body.get("exact", False)),
        after=read_cursor(string("after", body.get("after", ""))),
        group=boolean("group", body.get("group", False)),
        diverse=boolean("diverse", body.get("diverse", False)),
        templates=_templates(string("templates", body.get("templates", ""))),
    )


def json_filter(body: Mapping[str, Any]) -> Filter:
    """`where` and `filter` of a JSON body; in the latter a length is a number and a place true or false."""
    value = body.get("filter", {})
    if not isinstance(value, dict):
        raise BadQuery('filter is an object like {"folder": "trips", "min_side": 1000, "place": true}')
    if strangers := [name for name in value if name not in _FILTERS]:
        raise BadQuery(f"unknown filter {strangers[0][:40]!r}; there are: {', '.join(_FILTERS)}")
    texts = {name: string(name, text) for name, text in value.items() if name not in ("min_side", "place")}
    if "min_side" in value:
        texts["min_side"] = str(whole("min_side", value["min_side"]))
    if "place" in value:
        texts["place"] = "yes" if boolean("place", value["place"]) else "no"
    return read_filter({**texts, "where": string("where", body.get("where", ""))})


def _templates(text: str) -> tuple[str, ...]:
    return templates_of(read_text(text)) if text else ()


def _checked(terms: list[Term]) -> list[Term]:
    if not terms:
        raise BadQuery("an empty query; ask with a text, an image, an image's id or a vector")
    if len(terms) > MAX_TERMS:
        raise BadQuery(f"more than {MAX_TERMS} terms")
    return terms


def _term(value: Any) -> Term:
    kinds = [name for name in value if name != "weight"] if isinstance(value, dict) else []
    if len(kinds) != 1 or kinds[0] not in _KINDS:
        raise BadQuery(f"a term is an object with one of {', '.join(_KINDS)}, not {json.dumps(value)[:80]}")
    return replace(_weightless(kinds[0], value[kinds[0]]), weight=number("weight", value.get("weight", 1.0)))


def _weightless(kind: str, content: Any) -> Term:
    match kind:
        case "text":
            return TextTerm(read_text(string("text", content)))
        case "image_id":
            return IdTerm(whole("image_id", content))
        case "image" | "url":
            return ImageTerm(sent(kind, content))
        case _:
            return VectorTerm(_vector(content))


def sent(kind: str, content: Any) -> bytes:
    """The file of a picture that came as `image`, in base64, or as `url`. Raises BadQuery."""
    return fetched(string(kind, content)) if kind == "url" else file_bytes(kind, string(kind, content))


def fetched(url: str) -> bytes:
    """The picture behind a URL, where the server may fetch it. Raises BadQuery and BadUrl."""
    if (fetch := fetch_of()) is None:
        raise BadQuery("this server fetches no URLs unless it is started with --allow-fetch; send the picture itself")
    return fetch(url)


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
