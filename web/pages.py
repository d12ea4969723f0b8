"""The pages: the start, results, one image, the status. Every state but an upload in flight is a URL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from search import lookup, mixed
from search.classify import Nearest
from search.errors import BadFilter
from search.filters import Filter
from search.paging import Page
from search.query import IdTerm
from search.types import SHOW
from web.asked import Asked
from web.current import choose_shelf, library_of
from web.library import Shelf
from web.params import read_sensitive
from web.present import Tile, relative_path, size_of, tile_of, tiles_of_hits, tiles_of_ids
from web.same import look_up
from web.terms import fetched

blueprint = Blueprint("pages", __name__)

PAGE = 60
"""Hits on a page, unless its URL says otherwise."""

SAMPLE = 36
EXAMPLES = 5
SIMILAR = 18
COPIES = 12
NEAREST_TEXTS = 6
NEAREST_LABELS = 6
SHOWN_FAILURES = 20
SHOWN_RUNS = 5

GENERAL_EXAMPLES = ("a dog in the snow", "people at the beach", "something red", "flowers", "a street at night")
"""For a collection without captions to take examples from."""

_EXAMPLE_LENGTH = range(12, 48)


@blueprint.get("/")
def start() -> str:
    shelf = choose_shelf(request.args.get("collection"))
    tiles = tiles_of_ids(shelf, shelf.sample(SAMPLE))
    return render_template("start.html", tiles=tiles, examples=_examples(tiles), sizes=shelf.sizes())


@blueprint.get("/search")
def search() -> ResponseReturnValue:
    shelf = choose_shelf(request.args.get("collection"))
    asked = Asked.read(request.args).with_url()
    if asked.is_empty:
        return redirect(url_for("pages.start"))
    try:
        page, wrong = _page(shelf, asked), None
    except BadFilter as error:
        page, wrong = Page([], None, None, None), error
    found = look_up(shelf, asked, library_of().uploads)
    same = {one.tile.id for one in found.images} if found else set()
    shown = render_template(
        "results.html",
        asked=asked,
        wrong=wrong,
        found=found,
        tiles=tiles_of_hits(shelf, [hit for hit in page.hits if hit.image_id not in same], at=page.state),
        matched=page.matched,
        length=page.length,
        more=replace(asked, k=None, after=page.next) if page.next else None,
        sizes=shelf.sizes(),
        choices=shelf.choices(),
    )
    return shown, 400 if wrong else 200


def _page(shelf: Shelf, asked: Asked) -> Page:
    uploads = library_of().uploads
    if asked.url and asked.key and uploads.get(asked.key) is None:
        uploads.add(fetched(asked.url), asked.key)
    return mixed.page(
        shelf.searcher,
        asked.terms(shelf, uploads),
        k=PAGE if asked.k is None else asked.k,
        target=asked.target,
        where=asked.where,
        sort=asked.sort,
        group=asked.group,
        diverse=asked.diverse,
        after=asked.after,
    )


@blueprint.post("/search")
def ask() -> ResponseReturnValue:
    """Take the form, keep its picture for a while, and go to the URL of what it asks."""
    shelf = choose_shelf(request.form.get("collection"))
    asked = replace(Asked.read(request.form), k=None, after=None).with_url()
    if request.form.get("asked_in", shelf.name) != shelf.name:
        asked = asked.elsewhere()
    if file := request.files.get("image"):
        asked = replace(asked, picture=library_of().uploads.add(file.read()), id=None, url=None)
    return redirect(url_for("pages.search", **asked.to_args()), 303)


@blueprint.get("/images/<int:image_id>")
def image(image_id: int) -> str:
    shelf = choose_shelf(request.args.get("collection"))
    tile = tile_of(shelf, image_id)
    asked = Asked(narrowed={"sensitive": SHOW} if read_sensitive(request.args.get("sensitive")) else {})
    similar = shelf.searcher.search([IdTerm(image_id)], k=SIMILAR, where=asked.where)
    return render_template(
        "image.html",
        asked=asked,
        tile=tile,
        folder=_folder(tile.path),
        size_bytes=size_of(tile.record.path) if tile.has_picture else None,
        copies=tiles_of_hits(shelf, lookup.copies(shelf.searcher, image_id)[:COPIES]),
        similar=tiles_of_hits(shelf, similar),
        nearest=_nearest_texts(shelf, tile, asked.where),
        labels=_nearest_labels(shelf, tile),
    )


@blueprint.get("/status")
def status() -> str:
    shelf = choose_shelf(request.args.get("collection"))
    roots = shelf.catalog.roots()
    state = shelf.catalog.state()
    return render_template(
        "status.html",
        identity=shelf.collection.identity,
        counts=shelf.catalog.counts(),
        labels=shelf.catalog.tags.counts(),
        tagged=shelf.catalog.tags.images(),
        hidden=len(shelf.catalog.tags.hidden("images")),
        index=shelf.collection.index("images"),
        recall=shelf.collection.recall("images"),
        state=state,
        size_bytes=sum(shelf.collection.sizes().values()),
        folders=[PurePath(root.path).name for root in roots],
        runs=shelf.catalog.last_runs(SHOWN_RUNS),
        failures=[
            (relative_path(path, roots), reason, when)
            for path, reason, when in shelf.catalog.failures()[:SHOWN_FAILURES]
        ],
    )


def _examples(tiles: list[Tile]) -> list[str]:
    """Captions of the pictures that are shown, one of each picture, if they are short enough to be a query."""
    captions = (next((text for text in tile.captions if len(text) in _EXAMPLE_LENGTH), None) for tile in tiles)
    found = [text.rstrip(" .") for text in captions if text]
    return found[:EXAMPLES] or list(GENERAL_EXAMPLES)


def _nearest_texts(shelf: Shelf, tile: Tile, where: Filter) -> list[Tile]:
    """Hits among the texts, each wording once, without the image's own captions."""
    count = NEAREST_TEXTS + len(tile.captions)
    hits = shelf.searcher.search([IdTerm(tile.id)], k=count, target="texts", where=where)
    own = set(tile.captions)
    found = {near.text: near for near in reversed(tiles_of_hits(shelf, hits)) if near.text not in own}
    return list(reversed(found.values()))[:NEAREST_TEXTS]


def _nearest_labels(shelf: Shelf, tile: Tile) -> list[Nearest]:
    """Those of the collection's labels that the image does not have as tags."""
    own = {tag.name for tag in tile.tags}
    near = shelf.nearest_labels(tile.id, None, NEAREST_LABELS + len(own))
    return [label for label in near if label.label not in own][:NEAREST_LABELS]


def _folder(path: str) -> str:
    folder = str(PurePath(path).parent)
    return "" if folder == "." else folder
