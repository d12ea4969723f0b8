"""What hits must satisfy besides being near: a `Filter` -> a query for the ids that do."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, false, func, not_, or_, select

from search.errors import BadFilter
from search.expression import Condition, Date, Operator, parse_conditions
from search.places import Near
from search.schema import GreatCircle, images, labels, tags, texts
from search.statements import IDS
from search.stores import is_url
from search.tags import SENSITIVE, tagged
from search.types import Root, Target

MOST_CONDITIONS = 100


@dataclass(frozen=True, slots=True)
class Filter:
    """All of the `conditions` must hold; images with a sensitive tag are left out unless `show_sensitive`.

    docs/FILTERS.md says what each condition means. What is not known of an image satisfies no condition, and so every
    negated one. A folder is a followed one or one below it, absolute or relative to the followed one.
    """

    conditions: tuple[Condition, ...] = ()
    show_sensitive: bool = False

    def __post_init__(self) -> None:
        """Raises BadFilter for more conditions than databases take."""
        if len(self.conditions) > MOST_CONDITIONS:
            raise BadFilter(f"{len(self.conditions)} conditions; a filter may have up to {MOST_CONDITIONS}")

    @classmethod
    def parse(cls, expression: str, *, show_sensitive: bool = False) -> Filter:
        """From an expression such as `taken>=2024-06 -format:png`. Raises BadFilter."""
        return cls(parse_conditions(expression), show_sensitive)

    def __str__(self) -> str:
        return " ".join(map(str, self.conditions))

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing; sensitive tags aside."""
        return not self.conditions

    @property
    def tags(self) -> list[str]:
        """The names of all tags that are spoken of."""
        return [str(asked.value) for asked in self.conditions if asked.field == "tag"]


_MOST_PLACES = 2_000
"""Where several folders may lie, together: a statement with as many places is built in a second."""

_KEPT = 100
"""Of how many filters the statements are."""

_HasTag = Callable[[ColumnElement[bool]], ColumnElement[bool]]
"""What holds where an image has a tag, by what holds of its label."""

_Tagged = Callable[[ColumnElement[int], ColumnElement[bool]], ColumnElement[bool]]
"""The same of the image with an id."""


def matching(asked: Filter, target: Target, roots: Sequence[Root]) -> Select[int]:
    """The ids of images that match, or of texts whose image does."""
    found = _images(asked, roots, lambda image_id, which: image_id.in_(tagged(which)))
    return found if target == "images" else select(texts.c.id).where(texts.c.image_id.in_(found))


@lru_cache(_KEPT)
def matching_among(asked: Filter, target: Target, roots: tuple[Root, ...]) -> Select[int]:
    """Those of some `ids`; kept, since building it takes as long as running it."""
    if target == "images":
        found = _images(asked, roots, _is_tagged)
        return found.where(found.selected_columns[0].in_(IDS))
    holds = _satisfied(asked, roots, partial(_is_tagged, texts.c.image_id))
    found = select(texts.c.id).where(texts.c.id.in_(IDS), *holds)
    return found if all(one.field == "tag" for one in asked.conditions) else found.join(images)


def _images(asked: Filter, roots: Sequence[Root], is_tagged: _Tagged) -> Select[int]:
    """Where only tags are asked for, the tags are read and not the images, each of which takes longer to find."""
    conditions = sorted(asked.conditions, key=lambda one: (one.field == "tag", one.negated))
    if conditions and (first := conditions[0]).field == "tag" and not first.negated:
        others = Filter(tuple(conditions[1:]), asked.show_sensitive)
        return tagged(labels.c.name == first.value).where(
            *_satisfied(others, roots, partial(is_tagged, tags.c.image_id))
        )
    return select(images.c.id).where(*_satisfied(asked, roots, partial(is_tagged, images.c.id)))


def _is_tagged(image_id: ColumnElement[int], which: ColumnElement[bool]) -> ColumnElement[bool]:
    return tagged(which, of := tags.alias()).where(of.c.image_id == image_id).exists()


def _satisfied(asked: Filter, roots: Sequence[Root], has_tag: _HasTag) -> Iterator[ColumnElement[bool]]:
    """What the rows of matching images satisfy, all of it. BadFilter where no database would answer in time."""
    asked_folders = [str(one.value) for one in asked.conditions if one.field == "folder"]
    places = sum(len(_folders(folder, roots)) for folder in asked_folders)
    if places > _MOST_PLACES and len(asked_folders) > 1:
        raise BadFilter(f"{len(asked_folders)} folders below each of {len(roots)} followed ones; ask for fewer")
    for one in asked.conditions:
        holds = has_tag(labels.c.name == one.value) if one.field == "tag" else _holds(one, roots)
        yield not_(func.coalesce(holds, false())) if one.negated else holds
    if not asked.show_sensitive:
        yield not_(has_tag(SENSITIVE))


def at_or_under(column: ColumnElement[str], folder: str) -> ColumnElement[bool]:
    """Paths that are `folder` or lie in it: a range of the index, because "0" is the character after "/"."""
    prefix = folder.rstrip("/")
    return or_(column == folder, and_(column > f"{prefix}/", column < f"{prefix}0"))


_PATH: ColumnElement[str] = images.c.path
_TAKEN_AT: ColumnElement[datetime] = images.c.taken_at
_LATITUDE: ColumnElement[float] = images.c.latitude
_LONGITUDE: ColumnElement[float] = images.c.longitude
_WIDTH, _HEIGHT = (func.nullif(side, 0) for side in (images.c.width, images.c.height))
"""0 is a size that is not known."""

_SIDES: dict[str, ColumnElement[int]] = {
    "width": _WIDTH,
    "height": _HEIGHT,
    "side": case((_WIDTH < _HEIGHT, _WIDTH), (_WIDTH >= _HEIGHT, _HEIGHT)),
}

_ORIENTED: dict[str, ColumnElement[bool]] = {
    "landscape": _WIDTH > _HEIGHT,
    "portrait": _WIDTH < _HEIGHT,
    "square": _WIDTH == _HEIGHT,
}

_PLACED: dict[str, ColumnElement[bool]] = {
    "yes": and_(_LATITUDE.is_not(None), _LONGITUDE.is_not(None)),
    "no": or_(_LATITUDE.is_(None), _LONGITUDE.is_(None)),
}

_COMPARED: dict[Operator, Any] = {
    ":": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _holds(asked: Condition, roots: Sequence[Root]) -> ColumnElement[bool]:
    match asked.field, asked.value:
        case "folder", str(folder):
            return _any([at_or_under(_PATH, path) for path in _folders(folder, roots)])
        case "taken", Date() as date:
            return _taken(asked.operator, date)
        case "format", str(name):
            return images.c.format == name
        case "orientation", str(name):
            return _ORIENTED[name]
        case "width" | "height" | "side" as side, int(pixels):
            compared: ColumnElement[bool] = _COMPARED[asked.operator](_SIDES[side], pixels)
            return compared
        case "camera", str(part):
            return images.c.camera.icontains(part, autoescape=True)
        case "place", str(known):
            return _PLACED[known]
        case "near", Near() as near:
            return _near(near)
    raise ValueError(f"no condition: {asked!r}")


def _any(some: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Whether any of them holds; in halves of halves, as SQLite takes no expression that is 1,000 deep, and `or_` would
    be as deep as it is long.
    """
    if len(some) < 2:
        return some[0] if some else false()
    middle = len(some) // 2
    return _any(some[:middle]).bool_op("OR")(_any(some[middle:]))


def _folders(folder: str, roots: Sequence[Root]) -> list[str]:
    """Where a folder may lie; an absolute one where it says. Letters with accents have two spellings, which look alike:
    what is typed has one, and what some systems make of a name the other.
    """
    spellings = dict.fromkeys((folder, unicodedata.normalize("NFC", folder), unicodedata.normalize("NFD", folder)))
    if folder.startswith("/") or is_url(folder):
        return list(spellings)
    return [f"{root.path.rstrip('/')}/{inner.strip('/')}" for root in roots for inner in spellings]


def _taken(compared: Operator, date: Date) -> ColumnElement[bool]:
    """Before or after all of a year, month or day, or within it."""
    match compared:
        case "<":
            return date.start > _TAKEN_AT
        case "<=":
            return date.end > _TAKEN_AT
        case ">":
            return date.end <= _TAKEN_AT
        case ">=":
            return date.start <= _TAKEN_AT
    return and_(date.start <= _TAKEN_AT, date.end > _TAKEN_AT)


def _near(near: Near) -> ColumnElement[bool]:
    """Most places are told by sums of degrees, which cost less than the distance."""
    weight, most = near.surely
    left = (most - func.abs(_LATITUDE - near.latitude)) / weight  # a product may be too small for PostgreSQL
    surely = func.abs(_LONGITUDE - near.longitude) <= left
    distance_m = GreatCircle(_LATITUDE, _LONGITUDE, near.latitude, near.longitude)
    return and_(_LATITUDE.between(*near.latitudes), or_(surely, distance_m <= near.radius_m))
