"""`/duplicates`: the groups that were found last, page by page, each image with what it is to the best of its group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request

from search.catalog import Catalog
from search.found_duplicates import FoundDuplicates, FoundGroup, load
from search.lookup import Verdict
from search.same_picture import Evidence, QueryPicture, verify
from search.types import DUPLICATE_KINDS, DuplicateKind
from search.verdict_words import in_words
from web.current import choose_shelf
from web.library import Shelf
from web.params import read_choice, read_number, read_sensitive
from web.present import Tile, tiles_of_ids
from web.same import Same, outline

blueprint = Blueprint("duplicates", __name__)

PAGE = 12
"""Groups on a page."""

SHOWN = 12
"""Images of a group that are shown and compared; of the others the paths are told."""


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """`copies` are the first of the others; their outlines are on the best, of which they are a part."""

    kind: DuplicateKind
    best: Tile
    copies: Sequence[Same]
    others: Sequence[Tile]


@blueprint.get("/duplicates")
def page() -> str:
    shelf = choose_shelf(request.args.get("collection"))
    kind = read_choice("kind", request.args.get("kind"), ("all", *DUPLICATE_KINDS))
    number = max(read_number("page", request.args.get("page")) or 1, 1)
    show = read_sensitive(request.args.get("sensitive"))
    found = load(shelf.collection.directory)
    left = _without_lost(shelf, found) if found else []
    groups = _visible(shelf, left, show_sensitive=show)
    chosen = [group for group in groups if kind in ("all", group.kind)]
    start = (number - 1) * PAGE
    return render_template(
        "duplicates.html",
        found=found,
        is_old=found is not None and found.generation != shelf.catalog.state().generation,
        kind=kind,
        counts={"all": len(groups)} | {name: sum(group.kind == name for group in groups) for name in DUPLICATE_KINDS},
        copies=sum(len(group.images) - 1 for group in chosen),
        hidden=not show and _count(left) > _count(groups),
        groups=[shown for group in chosen[start : start + PAGE] if (shown := _shown(shelf, group))],
        first=start,
        page=number,
        pages=-(-len(chosen) // PAGE),
    )


def _without_lost(shelf: Shelf, found: FoundDuplicates) -> list[FoundGroup]:
    """The groups without images that are gone meanwhile."""
    present = shelf.catalog.bulk.present([id_ for group in found.groups for id_ in group.images])
    return _among(found.groups, lambda id_: id_ in present)


def _visible(shelf: Shelf, groups: Sequence[FoundGroup], *, show_sensitive: bool) -> list[FoundGroup]:
    """The groups without hidden images."""
    hidden = frozenset() if show_sensitive else shelf.catalog.tags.hidden("images")
    return _among(groups, lambda id_: id_ not in hidden)


def _among(groups: Sequence[FoundGroup], counts: Callable[[int], bool]) -> list[FoundGroup]:
    """The groups with those of their images that count, as long as two are left."""
    left = (FoundGroup(kind, tuple(id_ for id_ in images if counts(id_))) for kind, images in groups)
    return [group for group in left if len(group.images) > 1]


def _count(groups: Sequence[FoundGroup]) -> int:
    return sum(len(group.images) for group in groups)


def _shown(shelf: Shelf, group: FoundGroup) -> ShownGroup | None:
    """A group with its images; None where an image was lost just now, and one at most is left."""
    tiles = tiles_of_ids(shelf, group.images)
    if len(tiles) < 2:
        return None
    best, *others = tiles
    copies = [_copy(shelf.catalog, best, tile) for tile in others[:SHOWN]]
    return ShownGroup(group.kind, best, copies, others)


def _copy(catalog: Catalog, best: Tile, tile: Tile) -> Same:
    """What an image is to the best of its group, by what the catalog keeps: no file is opened for it."""
    verdict, evidence = _compared(catalog, best.id, tile.id)
    return Same(tile, in_words(verdict, evidence), outline(best, evidence))


def _compared(catalog: Catalog, best: int, copy: int) -> tuple[Verdict, Evidence | None]:
    digest = catalog.digest(copy)
    if digest and digest == catalog.digest(best):
        return "identical", None
    if len(catalog.features.of([best, copy])) < 2:
        return "unverified", None
    query = QueryPicture.of_image(catalog, copy)
    verified = verify(query, catalog, [best]).get(best) if query else None
    if verified is None:
        return "unverified", None
    return ("edited" if verified.evidence else "look-alike"), verified.evidence
