"""A query -> what a running `python -m web` answers to it, over its API."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from search.errors import ServerError
from search.paths import read_named
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm
from search.records import Tag
from search.tell import Answer
from search.types import Facts, Hit, Ranking, TextLength, Wanted

TIMEOUT_S = 60.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for the server that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def ask(
    server: str,
    terms: Sequence[Term],
    *,
    k: int,
    target: Wanted,
    where: str,
    tags: Sequence[str],
    sensitive: str,
    ranking: Ranking,
    exact: bool,
    group: bool,
    diverse: bool,
    templates: str,
    collection: str | None,
    token: str | None,
) -> Answer:
    """The hits that satisfy `where` and have all these tags, in the server's collection of this name or its first one.

    `where` is a filter as it is written, `sensitive` one of search.types.SENSITIVE, `templates` the name of a set or
    one template, "" for none. Paths are as the server tells them.

    Raises ServerError where there is no answer, with what the server says if it says why.
    """
    if not _is_address(server):
        raise ServerError(f"{server!r} is no address of a server; one is like http://127.0.0.1:8000")
    body = {
        "terms": [_term(term) for term in terms],
        "k": k,
        "target": target,
        "ranking": ranking,
        "exact": exact,
        "group": group,
        "diverse": diverse,
        "templates": templates,
        "collection": collection or "",
        "where": where,
        "filter": {"tag": ",".join(tags), "sensitive": sensitive},
    }
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    url = f"{server.rstrip('/')}/api/v1/search"
    try:
        return _answer(_json(server, urllib.request.Request(url, json.dumps(body).encode(), headers)))
    except (LookupError, TypeError, ValueError, HTTPException) as error:
        raise ServerError(f"{server} answers something else than hits; does `python -m web` run there?") from error


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:  # brackets that are not closed, a port that is no number
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and len(text.split()) == 1


def _json(server: str, request: urllib.request.Request) -> Any:
    """ValueError for what is no JSON, HTTPException for what is no HTTP."""
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise ServerError(f"{server} answers {error.code}: {_reason(error)}") from error
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ServerError(f"{server} does not answer ({reason}); does `python -m web` run there?") from error


def _reason(error: urllib.error.HTTPError) -> str:
    """The server's own words, or those of HTTP."""
    if error.code == 401:
        return "it wants its token; set IMAGE_SEARCH_TOKEN to it"
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return error.reason


def _term(term: Term) -> dict[str, Any]:
    return {**_content(term), "weight": term.weight}


def _content(term: Term) -> dict[str, Any]:
    match term:
        case TextTerm(text):
            return {"text": text}
        case ImageTerm(source):
            return {"image": base64.b64encode(read_named(source) if isinstance(source, Path) else source).decode()}
        case IdTerm(image_id):
            return {"image_id": image_id}
        case VectorTerm(vector):
            return {"vector": vector.tolist()}


def _answer(found: dict[str, Any]) -> Answer:
    length = None if found["tokens"] is None else TextLength(found["tokens"], found["context"])
    tags = {hit["image"]["id"]: [Tag(**tag) for tag in hit["image"]["tags"]] for hit in found["hits"]}
    return Answer([_hit(hit) for hit in found["hits"]], tags, found["matched"], length)


def _hit(hit: dict[str, Any]) -> Hit:
    image = hit["image"]
    facts = dict(image["facts"])
    taken_at = facts.pop("taken_at")
    return Hit(
        target=hit["target"],
        id=hit["id"],
        score=hit["score"],
        image_id=image["id"],
        location=image["path"],
        facts=Facts(**facts, taken_at=taken_at and datetime.fromisoformat(taken_at)),
        text=hit["text"],
        strength=hit["strength"],
        alike=tuple(hit["alike"]),
    )
