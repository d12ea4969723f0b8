"""What hits must satisfy besides being near: a `Filter` -> conditions on the rows of images."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from search.errors import BadQuery
from search.schema import ImageRow, LabelRow, TagRow
from search.tags import SENSITIVE_IMAGES
from search.types import Root

Orientation = Literal["landscape", "portrait", "square"]
ORIENTATIONS: tuple[Orientation, ...] = ("landscape", "portrait", "square")

_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


@dataclass(frozen=True, slots=True)
class Filter:
    """Every field that is given must hold; one that is None asks for nothing.

    `folder` is a followed folder or one below it, absolute or relative to the followed one. `taken_from` is the first
    moment that counts, `taken_to` the first that does not; images without a time satisfy neither. `format` is Pillow's
    name. `min_side` is the least length of the shorter side in pixels. `camera` is a part of the camera's name. Images
    have all of the `tags`; those with a sensitive tag are left out unless `show_sensitive`.
    """

    folder: str | None = None
    taken_from: datetime | None = None
    taken_to: datetime | None = None
    format: str | None = None
    orientation: Orientation | None = None
    min_side: int | None = None
    camera: str | None = None
    has_place: bool | None = None
    tags: tuple[str, ...] = ()
    show_sensitive: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing; sensitive tags aside."""
        return replace(self, show_sensitive=False) == Filter()


def first_moment(text: str) -> datetime:
    """The start of a year, month or day written as 2024, 2024-06 or 2024-06-21. Raises BadQuery."""
    return _parts(text)[0]


def moment_after(text: str) -> datetime:
    """The end of a year, month or day: the first moment after it. Raises BadQuery."""
    return _parts(text)[1]


def conditions(asked: Filter, roots: Sequence[Root]) -> Iterator[ColumnElement[bool]]:
    """What the rows of matching images satisfy, all of it."""
    if asked.folder is not None:
        yield or_(false(), *(at_or_under(ImageRow.path, folder) for folder in _folders(asked.folder, roots)))
    if asked.taken_from is not None:
        yield ImageRow.taken_at >= asked.taken_from
    if asked.taken_to is not None:
        yield ImageRow.taken_at < asked.taken_to
    if asked.format is not None:
        yield ImageRow.format == asked.format
    if asked.orientation is not None:
        yield _ORIENTED[asked.orientation]
    if asked.min_side is not None:
        yield and_(ImageRow.width >= asked.min_side, ImageRow.height >= asked.min_side)
    if asked.camera is not None:
        yield ImageRow.camera.icontains(asked.camera, autoescape=True)
    if asked.has_place is not None:
        yield ImageRow.latitude.is_not(None) if asked.has_place else ImageRow.latitude.is_(None)
    for tag in asked.tags:
        yield ImageRow.id.in_(select(TagRow.image_id).join(LabelRow).where(LabelRow.name == tag))
    if not asked.show_sensitive:
        yield ImageRow.id.not_in(SENSITIVE_IMAGES)


def at_or_under(column: InstrumentedAttribute[str], folder: str) -> ColumnElement[bool]:
    """Paths that are `folder` or lie in it: a range of the index, because "0" is the character after "/"."""
    prefix = folder.rstrip("/")
    return or_(column == folder, and_(column > f"{prefix}/", column < f"{prefix}0"))


_ORIENTED: dict[Orientation, ColumnElement[bool]] = {
    "landscape": ImageRow.width > ImageRow.height,
    "portrait": ImageRow.width < ImageRow.height,
    "square": and_(ImageRow.width == ImageRow.height, ImageRow.width > 0),
}


def _folders(folder: str, roots: Sequence[Root]) -> list[str]:
    """Where a folder may lie; an absolute one where it says."""
    inner = folder.strip("/")
    return [folder] if folder.startswith("/") else [f"{root.path.rstrip('/')}/{inner}" for root in roots]


def _parts(text: str) -> tuple[datetime, datetime]:
    """The first moment of a day, month or year, and the first one after it."""
    if not (found := _DAY.fullmatch(text.strip())):
        raise BadQuery(f"{text[:40]!r} is not a date; write 2024, 2024-06 or 2024-06-21")
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        start = datetime(year or 0, month or 1, day or 1)
        last = datetime(start.year, month or 12, day or calendar.monthrange(start.year, month or 12)[1])
        return start, last + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise BadQuery(f"{text[:40]!r} is not a date: {error}") from error
