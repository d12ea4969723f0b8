"""Rows and hits -> what may be shown of them: names relative to the followed folders, sizes, words."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import PurePath

from search.paths import stamp_of
from search.records import ImageRecord, State, Tag
from search.types import EncoderIdentity, Facts, Hit, Root, is_followed
from web.library import Shelf
from web.places import shown
from web.thumbnails import SIZES, key_of

RATIO_STEP = 1.05
"""Tiles take the nearest of the aspect ratios in grid.css, which are powers of this: no style is written inline."""

NARROWEST, WIDEST = -16, 24


@dataclass(frozen=True)
class Tile:
    """An image to be shown, with what it is said to show; with score, strength and text if it is a hit, and
    how many hits that are alike stand behind it.

    `has_picture` is false of an imported row whose file lies in no followed folder: a placeholder stands for it.
    """

    id: int
    record: ImageRecord
    path: str
    has_picture: bool
    captions: Sequence[str] = ()
    tags: Sequence[Tag] = ()
    score: float | None = None
    strength: float | None = None
    text: str | None = None
    alike: int = 0

    @cached_property
    def facts(self) -> Facts:
        """What may be told of the image."""
        return shown(self.record.facts)

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def alt(self) -> str:
        return next(iter(self.captions), None) or self.facts.caption or self.name

    @property
    def key(self) -> str:
        """Changes with the content, so that browsers may keep a thumbnail for good."""
        return key_of(self.id, self.record)[:12]

    @property
    def width(self) -> int:
        """In pixels; of a picture whose size is not known, as of `height`, the placeholder's."""
        return self.facts.width or SIZES[0]

    @property
    def height(self) -> int:
        return self.facts.height or SIZES[0]

    @property
    def ratio_class(self) -> str:
        """The class in grid.css of the aspect ratio."""
        step = round(math.log(self.width / self.height, RATIO_STEP))
        return f"ratio-{min(max(step, NARROWEST), WIDEST) - NARROWEST}"

    @property
    def is_small(self) -> bool:
        """Whether even the thumbnail of the grid shows all there is."""
        return max(self.width, self.height) <= SIZES[0]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The thumbnails worth offering: (longest side, width) in pixels, ascending."""
        longest = max(self.width, self.height)
        useful = [size for place, size in enumerate(SIZES) if place == 0 or SIZES[place - 1] < longest]
        return [(size, max(1, round(self.width * min(1, size / longest)))) for size in useful]


def tiles_of_hits(shelf: Shelf, hits: Iterable[Hit], *, at: State | None = None, captions: bool = True) -> list[Tile]:
    """With their captions, unless nobody will read these. `at` is the state of the catalog that was searched."""
    found, state = list(hits), at or shelf.catalog.state()
    ids = [hit.image_id for hit in found]
    described, tags = shelf.catalog.captions(ids) if captions else {}, shelf.catalog.tags.of(ids, state)
    return [
        Tile(
            id=hit.image_id,
            record=ImageRecord(hit.location, hit.facts),
            path=relative_path(hit.location, state.roots),
            has_picture=is_followed(hit.location, state.roots),
            captions=described.get(hit.image_id, ()),
            tags=tags.get(hit.image_id, ()),
            score=hit.score,
            strength=hit.strength,
            text=hit.text,
            alike=len(hit.alike),
        )
        for hit in found
    ]


def tile_of(shelf: Shelf, image_id: int) -> Tile:
    """One image; NotFound without its row."""
    record, roots = shelf.record(image_id), shelf.catalog.roots()
    captions = shelf.catalog.captions([image_id]).get(image_id, ())
    tags = shelf.catalog.tags.of([image_id]).get(image_id, ())
    path, has_picture = relative_path(record.path, roots), is_followed(record.path, roots)
    return Tile(image_id, record, path, has_picture, captions, tags)


def tiles_of_ids(shelf: Shelf, ids: Sequence[int]) -> list[Tile]:
    """The images among `ids` that exist, in their order."""
    records, captions, roots = shelf.catalog.images(ids), shelf.catalog.captions(ids), shelf.catalog.roots()
    return [
        Tile(id_, record, relative_path(record.path, roots), is_followed(record.path, roots), captions.get(id_, ()))
        for id_ in ids
        if (record := records.get(id_))
    ]


def relative_path(path: str, roots: Sequence[Root]) -> str:
    """The path below the followed folder that holds it, in characters that can be written anywhere.

    Of another absolute path only the name; what was imported without a place on any disk, as it was given.
    """
    holding = [folder for root in roots if path.startswith(folder := f"{root.path.rstrip('/')}/")]
    if holding:
        return readable(path[len(max(holding, key=len)) :])
    return readable(path.rpartition("/")[2] if path.startswith("/") else path)


def readable(text: str) -> str:
    """A file name need not be UTF-8; its odd bytes become replacement characters."""
    return os.fsencode(text).decode("utf-8", "replace")


def model_name(identity: EncoderIdentity) -> str:
    """The model's name; of a local folder its last part."""
    path = PurePath(identity.model)
    return path.name if path.is_absolute() else identity.model


def size_of(path: str) -> int | None:
    """Bytes of a file, None where it is gone."""
    try:
        return stamp_of(path).size_bytes
    except OSError:
        return None


def _bytes(size_bytes: int) -> str:
    value, units = float(size_bytes), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if value >= 100 or unit == "bytes" else f"{value:.1f} {unit}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _ordinal(value: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{value:,}{'th' if value % 100 in (11, 12, 13) else endings.get(value % 10, 'th')}"


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") + "."


def _weight(tile: Tile) -> str:
    """What of an image is compared with its copies."""
    size_bytes = size_of(tile.record.path) if tile.has_picture else None
    return ", ".join([_measures(tile.facts), *([_bytes(size_bytes)] if size_bytes is not None else [])])


def _measures(facts: Facts) -> str:
    size = [f"{facts.width:,} \u00d7 {facts.height:,} pixels"] if facts.width and facts.height else []
    return ", ".join([*size, *([facts.format] if facts.format else [])])


def _number(value: int) -> str:
    return f"{value:,}"


def _when(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _score(score: float) -> str:
    return f"{score:.3f}".replace("-", "\u2212")


FILTERS = {
    "bytes": _bytes,
    "counted": _counted,
    "number": _number,
    "ordinal": _ordinal,
    "when": _when,
    "score": _score,
    "model": model_name,
    "sentence": _sentence,
    "readable": readable,
    "measures": _measures,
    "weight": _weight,
}
