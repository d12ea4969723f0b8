"""A picture that is asked with -> the images of the collection that it is, each with the verdict in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.alignment import Point
from search.lookup import Candidate, by_id, by_image
from search.same_picture import Evidence
from search.verdict_words import in_words, is_whole
from web.asked import Asked
from web.library import Shelf
from web.present import Tile, tiles_of_hits
from web.uploads import Uploads

CANDIDATES = 60


@dataclass(frozen=True, slots=True)
class Same:
    """An image that is the same picture. `outline` is what of it is shown, where that is not all."""

    tile: Tile
    words: str
    outline: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup found. Of `untold` neighbours nobody can tell whether they are the same picture."""

    images: Sequence[Same]
    untold: int


def look_up(shelf: Shelf, asked: Asked, uploads: Uploads) -> Found | None:
    """The images that the picture of a search is; None where the search asks for something else.

    A picture that came is always looked up, an image of the collection where it is asked for: it takes a while.
    """
    if not asked.is_of_a_picture:
        return None
    show = asked.shows_sensitive
    if asked.key is None:
        candidates = by_id(shelf.searcher, asked.id or 0, k=CANDIDATES, show_sensitive=show) if asked.same else None
    else:
        upload = uploads.get(asked.key)
        candidates = by_image(shelf.searcher, upload.data, k=CANDIDATES, show_sensitive=show) if upload else None
    return None if candidates is None else _found(shelf, candidates)


def _found(shelf: Shelf, candidates: Sequence[Candidate]) -> Found:
    same = [candidate for candidate in candidates if candidate.is_same]
    tiles = tiles_of_hits(shelf, [candidate.hit for candidate in same])
    images = [
        Same(tile, in_words(candidate.verdict, candidate.evidence), outline(tile, candidate.evidence))
        for tile, candidate in zip(tiles, same, strict=True)
    ]
    return Found(images, sum(candidate.verdict == "unverified" for candidate in candidates))


def outline(tile: Tile, evidence: Evidence | None) -> str | None:
    """The points of an SVG polygon in pixels of the image; None where all of it is shown."""
    return None if evidence is None or is_whole(evidence) else " ".join(_point(tile, at) for at in evidence.region)


def _point(tile: Tile, at: Point) -> str:
    return f"{at[0] * tile.width:.1f},{at[1] * tile.height:.1f}"
