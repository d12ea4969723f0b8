"""What filters ask of an image, as fields of Milvus: facts -> values, conditions -> an expression.

Only what cannot change while an image keeps its id is there: neither its path nor its tags. So an expression holds for
every image that the catalog finds, and perhaps for others, which the catalog's ids tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from search.expression import Condition, Date, Orientation
from search.places import Near
from search.types import Facts

MOST_BYTES = 32
"""Of a text; of a longer one nothing is known to Milvus."""

INTEGERS = ("taken", "width", "height", "side")
NUMBERS = ("latitude", "longitude")
TEXTS = ("format", "orientation")

_UNKNOWN_TIME = -(2**62)
_NOWHERE = 1000.0
_PLAIN = re.compile(r"[\w .+-]+", re.ASCII)

Value = int | float | str


def values_of(facts: Facts) -> dict[str, Value]:
    """The fields of an image by their names."""
    width, height = facts.width, facts.height
    latitude, longitude = facts.latitude, facts.longitude
    if latitude is None or longitude is None:
        latitude = longitude = _NOWHERE
    return {
        "taken": _UNKNOWN_TIME if facts.taken_at is None else _microseconds(facts.taken_at),
        "width": width,
        "height": height,
        "side": min(width, height) if width and height else 0,
        "latitude": latitude,
        "longitude": longitude,
        "format": facts.format if _fits(facts.format) else "",
        "orientation": _orientation(width, height),
    }


def expression(conditions: Sequence[Condition]) -> str:
    """What all images that satisfy the conditions satisfy in Milvus; empty where it knows of none of them."""
    return " and ".join(part for asked in conditions if (part := _part(asked)))


def _part(asked: Condition) -> str | None:
    if not (held := _held(asked)) or (asked.negated and asked.field == "near"):
        return None
    terms = " and ".join(held)
    return f"(not ({terms}))" if asked.negated else f"({terms})"


def _held(asked: Condition) -> list[str] | None:
    """Of what is known of an image, what the condition says; None for what is not a field here."""
    match asked.field, asked.value:
        case "taken", Date() as date:
            return [f"taken > {_UNKNOWN_TIME}", *_taken(asked.operator, date)]
        case "width" | "height" | "side" as side, int(pixels):
            operator = "==" if asked.operator == ":" else asked.operator
            return [f"{side} > 0", f"{side} {operator} {pixels}"]
        case "format", str(name):
            return [f'format == "{name}"'] if _fits(name) and _PLAIN.fullmatch(name) else None
        case "orientation", str(name):
            return [f'orientation == "{name}"']
        case "place", str(known):
            return [f"latitude {'<' if known == 'yes' else '>='} {_NOWHERE}"]
        case "near", Near() as near:
            south, north = near.latitudes
            return [f"latitude >= {south!r}", f"latitude <= {north!r}"]
    return None


def _taken(operator: str, date: Date) -> Iterator[str]:
    """As search.filters has it: before or after all of a year, month or day, or within it."""
    start, end = _microseconds(date.start), _microseconds(date.end)
    match operator:
        case "<":
            yield f"taken < {start}"
        case "<=":
            yield f"taken < {end}"
        case ">":
            yield f"taken >= {end}"
        case ">=":
            yield f"taken >= {start}"
        case _:
            yield from (f"taken >= {start}", f"taken < {end}")


def _microseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _orientation(width: int, height: int) -> Orientation | str:
    if not (width and height):
        return ""
    return "square" if width == height else "landscape" if width > height else "portrait"


def _fits(text: str) -> bool:
    return len(text.encode()) <= MOST_BYTES
