"""`/api/v1`: JSON objects over the same searches as the pages. Errors have one body, made in errors.py."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from werkzeug.exceptions import ServiceUnavailable

from search import mixed
from search.query import IdTerm
from search.types import Hit
from web.current import choose_shelf, library_of
from web.library import Shelf
from web.links import Links
from web.params import once, refuse_strangers
from web.present import Tile, model_name, size_of, tile_of, tiles_of_hits
from web.terms import Query, from_arguments, from_body, refine

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.get("/search")
def search() -> dict[str, Any]:
    """Hits of a text."""
    return answer(from_arguments(once(request.args)))


@blueprint.post("/search")
def search_by_terms() -> dict[str, Any]:
    """Hits of a sum of terms, or of files with a text."""
    return answer(from_body(request))


@blueprint.get("/images/<int:image_id>")
def image(image_id: int) -> dict[str, Any]:
    refuse_strangers(asked := once(request.args), ("collection",))
    shelf = choose_shelf(asked.get("collection"))
    tile = tile_of(shelf, image_id)
    return {
        "collection": shelf.name,
        **image_to_dict(tile, Links()),
        "size_bytes": size_of(tile.record.path) if tile.has_picture else None,
        "captions": list(tile.captions),
    }


@blueprint.get("/images/<int:image_id>/similar")
def similar(image_id: int) -> dict[str, Any]:
    """Hits of an image, without itself."""
    return answer(refine([IdTerm(image_id)], once(request.args)))


@blueprint.get("/collections")
def collections() -> dict[str, Any]:
    refuse_strangers(request.args, ())
    library = library_of()
    return {"default": library.default.name, "collections": [_collection(shelf) for shelf in library.shelves.values()]}


@blueprint.get("/health")
def health() -> dict[str, Any]:
    """The process answers."""
    return {"status": "ok"}


@blueprint.get("/ready")
def ready() -> dict[str, Any]:
    """The models are loaded and the indexes are open: a query is answered at once."""
    library = library_of()
    if not library.ready:
        raise ServiceUnavailable("the models are not loaded yet")
    return {"status": "ok", "generations": {name: _generation(shelf) for name, shelf in library.shelves.items()}}


def answer(query: Query) -> dict[str, Any]:
    """The hits of a query."""
    shelf = choose_shelf(query.collection)
    for term in query.terms:
        if isinstance(term, IdTerm):
            shelf.record(term.id)
    page = mixed.page(
        shelf.searcher,
        query.terms,
        k=query.k,
        target=query.target,
        where=query.where,
        sort=query.sort,
        ranking=query.ranking,
        exact=query.exact,
        group=query.group,
        diverse=query.diverse,
        templates=query.templates,
        after=query.after,
    )
    tiles, links = tiles_of_hits(shelf, page.hits, at=page.state, captions=False), Links()
    return {
        "collection": shelf.name,
        "target": query.target,
        "k": query.k,
        "matched": page.matched,
        "truncated": bool(page.length and page.length.truncated),
        "tokens": page.length and page.length.tokens,
        "context": page.length and page.length.context,
        "hits": [_hit(hit, tile, links) for hit, tile in zip(page.hits, tiles, strict=True)],
        "next": page.next and str(page.next),
    }


def _hit(hit: Hit, tile: Tile, links: Links) -> dict[str, Any]:
    return {
        "target": hit.target,
        "id": hit.id,
        "score": hit.score,
        "strength": hit.strength,
        "text": hit.text,
        "alike": list(hit.alike),
        "image": image_to_dict(tile, links),
    }


def image_to_dict(tile: Tile, links: Links) -> dict[str, Any]:
    """An image as every answer of the API shows it."""
    return {
        "id": tile.id,
        "name": tile.name,
        "path": tile.path,
        "facts": tile.facts.to_dict(),
        "tags": [tag._asdict() for tag in tile.tags],
        "links": links.of(tile),
    }


def _collection(shelf: Shelf) -> dict[str, Any]:
    identity = shelf.collection.identity
    return {
        "name": shelf.name,
        **shelf.catalog.counts(),
        "model": model_name(identity),
        "dim": identity.dim,
        "index": shelf.collection.index("images").kind,
        "generation": _generation(shelf),
    }


def _generation(shelf: Shelf) -> int:
    return shelf.catalog.state().generation
