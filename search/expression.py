"""A filter as it is written -> conditions: `taken>=2024-06 camera:"X100" -format:png near:48.2,16.37,10km`."""

from __future__ import annotations

import calendar
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, NamedTuple, cast

from search.errors import BadFilter
from search.places import Near

Operator = Literal[":", "<", "<=", ">", ">="]
Orientation = Literal["landscape", "portrait", "square"]
ORIENTATIONS: tuple[Orientation, ...] = ("landscape", "portrait", "square")

_FORMATS = {
    "JPG": "JPEG",
    "JPE": "JPEG",
    "JFIF": "JPEG",
    "TIF": "TIFF",
    "HEIC": "HEIF",
    "HIF": "HEIF",
    "APNG": "PNG",
    **dict.fromkeys(("JP2", "J2K", "JPF", "JPX", "J2C", "JPC"), "JPEG2000"),
    **dict.fromkeys(("PBM", "PGM", "PNM"), "PPM"),
}
"""Names and endings that are not the name of their format."""
_DAY = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_CONDITION = re.compile(r"(-?)(\w+)(<=|>=|[:=<>])(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Date:
    """A year, or a month or day of it."""

    year: int
    month: int | None = None
    day: int | None = None

    def __post_init__(self) -> None:
        """Raises BadFilter for what no calendar has."""
        try:
            _ = self.start, self.end
        except (ValueError, OverflowError) as error:
            raise BadFilter(f"{str(self)!r} is not a date: {error}") from error

    @classmethod
    def read(cls, text: str) -> Date:
        """From 2024, 2024-06 or 2024-06-21. Raises BadFilter."""
        if not (found := _DAY.fullmatch(text.strip())):
            raise BadFilter(f"{text[:_SHOWN]!r} is not a date; write 2024, 2024-06 or 2024-06-21")
        return cls(*(int(part) if part else None for part in found.groups()))  # type: ignore[arg-type]

    def __str__(self) -> str:
        parts = (f"{self.year:04}", *(f"{part:02}" for part in (self.month, self.day) if part is not None))
        return "-".join(parts)

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, 1 if self.month is None else self.month, 1 if self.day is None else self.day)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        month = 12 if self.month is None else self.month
        day = calendar.monthrange(self.start.year, month)[1] if self.day is None else self.day
        return datetime(self.year, month, day) + timedelta(days=1)


Value = str | int | Date | Near


@dataclass(frozen=True, slots=True)
class Condition:
    """What a field of an image must be; `negated`: what it must not be. `str` gives what `parse_conditions` reads."""

    field: str
    operator: Operator
    value: Value
    negated: bool = False

    def __str__(self) -> str:
        value = str(self.value)
        if not value or any(character.isspace() or character == '"' for character in value):
            value = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
        return f"{'-' * self.negated}{self.field}{self.operator}{value}"


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """The conditions between the spaces of `text`. Raises BadFilter: the word, what is known and what to do."""
    return tuple(map(_read, list(_words(text))))


def condition(field: str, operator: str, text: str, *, negated: bool = False) -> Condition:
    """One condition, its value as it is written but for quotes. Raises BadFilter."""
    if field not in FIELDS:
        near = difflib.get_close_matches(field, FIELDS, 1)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise BadFilter(f"unknown field {field[:_SHOWN]!r}{meant} There are: {', '.join(FIELDS)}")
    read, example, is_ordered = FIELDS[field]
    if operator not in _OPERATORS[is_ordered]:
        raise BadFilter(f"{field} takes {', '.join(_OPERATORS[is_ordered])} and not {operator}; write {example}")
    if not text.strip():
        raise BadFilter(f"{field}{operator} has no value; write {example}, without spaces")
    try:
        value = read(text)
    except BadFilter as error:
        raise BadFilter(f"{field}: {error}; an example: {example}") from error
    return Condition(field, cast(Operator, operator), value, negated)


def _words(text: str) -> Iterator[str]:
    """What stands between the spaces outside of quotes."""
    place = len(text) - len(text.lstrip())
    while place < len(text):
        if not (found := _WORD.match(text, place)):
            raise BadFilter(
                f'the quote in {text[place : place + _SHOWN]!r} is not closed; close it, or write \\" in quotes'
            )
        yield found[0]
        place = len(text) - len(text[found.end() :].lstrip())


def _read(word: str) -> Condition:
    if not (found := _CONDITION.fullmatch(word)):
        raise BadFilter(
            f"{word[:_SHOWN]!r} is no condition; write a field, an operator and a value without spaces between them, "
            f"such as width>=2000. Fields are: {', '.join(FIELDS)}"
        )
    minus, field, operator, value = found.groups()
    if quoted := _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    elif '"' in value:
        raise BadFilter(f'{word[:_SHOWN]!r}: quotes stand around all of a value, such as camera:"Example X100"')
    return condition(field.lower(), ":" if operator == "=" else operator, value, negated=bool(minus))


def _text(text: str, errors: str = "strict") -> str:
    """Without NUL: there SQLite ends a pattern, which every camera would then have."""
    try:
        storable = b"\0" not in text.encode(errors=errors)
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise BadFilter(f"{text[:_SHOWN]!r} is no text")
    return text


def format_name(text: str) -> str:
    """A format as facts have it, of a name or the ending of files."""
    name = text.upper().lstrip(".")
    return _FORMATS.get(name, name)


def _format(text: str) -> str:
    if not (name := format_name(_text(text))):
        raise BadFilter(f"{text[:_SHOWN]!r} is no format")
    return name


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise BadFilter(f"{text[:_SHOWN]!r} is no whole number of up to 15 digits")
    return int(text)


def _one_of(choices: tuple[str, ...], text: str) -> str:
    if text not in choices:
        raise BadFilter(f"{text[:_SHOWN]!r} is not one of {', '.join(choices)}")
    return text


class Field(NamedTuple):
    """How a value is read, what a condition looks like, and whether values have an order."""

    read: Callable[[str], Value]
    example: str
    is_ordered: bool = False


FIELDS: Mapping[str, Field] = {
    "taken": Field(Date.read, "taken>=2024-06", is_ordered=True),
    "folder": Field(partial(_text, errors="surrogateescape"), "folder:trips/2023"),
    "format": Field(_format, "format:png"),
    "orientation": Field(partial(_one_of, ORIENTATIONS), "orientation:portrait"),
    "width": Field(_whole, "width>=2000", is_ordered=True),
    "height": Field(_whole, "height<1000", is_ordered=True),
    "side": Field(_whole, "side>=1000", is_ordered=True),
    "camera": Field(_text, 'camera:"Example X100"'),
    "place": Field(partial(_one_of, ("yes", "no")), "place:yes"),
    "near": Field(Near.read, "near:48.2,16.37,10km"),
    "tag": Field(_text, "tag:dog"),
}
"""What is known of images, in the order in which it is told."""

_OPERATORS: Mapping[bool, tuple[str, ...]] = {False: (":",), True: (":", "<", "<=", ">", ">=")}
