"""The addresses of many images: Flask builds each once, with places for what differs."""

from __future__ import annotations

from typing import Any

from flask import url_for

from web.present import Tile

_ID, _SIZE, _KEY = 9_000_000_000_000_001, 9_000_000_000_000_002, "9000000000000003"
"""Numbers that occur in no address."""


class Links:
    """Made and used within one request, of one collection. A page has hundreds, and `url_for` takes its time."""

    def __init__(self) -> None:
        self._self = url_for("api.image", image_id=_ID)
        self._page = url_for("pages.image", image_id=_ID)
        self._original = url_for("media.original", image_id=_ID)
        self._thumbnail = url_for("media.thumbnail", image_id=_ID, size=_SIZE, v=_KEY)

    def of(self, tile: Tile) -> dict[str, Any]:
        thumbnail = _of(self._thumbnail, tile.id).replace(_KEY, tile.key)
        return {
            "self": _of(self._self, tile.id),
            "page": _of(self._page, tile.id),
            "original": _of(self._original, tile.id) if tile.has_picture else None,
            "thumbnails": [thumbnail.replace(str(_SIZE), str(size)) for size, _ in tile.sizes],
        }


def _of(address: str, image_id: int) -> str:
    return address.replace(str(_ID), str(image_id))
