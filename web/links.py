"""The addresses of many images: Flask builds each once, with places for what differs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import g, request, url_for

from search.types import SHOW
from web.library import Shelf
from web.present import Tile

_ID, _SIZE, _KEY = 9_000_000_000_000_001, 9_000_000_000_000_002, "9000000000000003"
"""Numbers that occur in no address."""

_KEPT = 64


class Links:
    """Made and used within one request, of one collection. A page has hundreds, and `url_for` takes its time."""

    def __init__(self) -> None:
        self._patterns = _patterns(g.shelf, request.script_root, request.args.get("sensitive") == SHOW)

    def of(self, tile: Tile) -> dict[str, Any]:
        itself, page, original, thumbnail = self._patterns
        return {
            "self": itself.format(id=tile.id),
            "page": page.format(id=tile.id),
            "original": original.format(id=tile.id) if tile.has_picture else None,
            "thumbnails": [thumbnail.format(id=tile.id, size=size, key=tile.key) for size, _ in tile.sizes],
        }


@lru_cache(_KEPT)
def _patterns(_shelf: Shelf, _root: str, _sensitive: bool) -> tuple[str, ...]:
    """Of an image itself, its page, its original and its thumbnails. All that they depend on is given."""
    addresses = (
        url_for("api.image", image_id=_ID),
        url_for("pages.image", image_id=_ID),
        url_for("media.original", image_id=_ID),
        url_for("media.thumbnail", image_id=_ID, size=_SIZE, v=_KEY),
    )
    return tuple(map(_pattern, addresses))


def _pattern(address: str) -> str:
    places = {str(_ID): "{id}", str(_SIZE): "{size}", _KEY: "{key}"}
    pattern = address.replace("{", "{{").replace("}", "}}")
    for number, place in places.items():
        pattern = pattern.replace(number, place)
    return pattern
