"""What a request asks for -> checked values. Every refusal names the value and what may stand there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from werkzeug.datastructures import MultiDict

from search.errors import BadFilter, BadQuery
from search.expression import Condition, condition, parse_conditions
from search.filters import Filter
from search.paging import SORTS, Sort
from search.types import HIDE, RANKINGS, SENSITIVE, SHOW, WANTED, Ranking, Wanted
from web import places

MAX_TEXT_LENGTH = 1_000

FILTERS = ("where", "folder", "from", "to", "format", "orientation", "min_side", "camera", "place", "tag", "sensitive")
"""The names of what narrows a search, in URLs, forms and JSON alike."""

YES_OR_NO = {"yes": True, "no": False}

_FIELDS = {"from": ("taken", ">="), "to": ("taken", "<="), "min_side": ("side", ">=")}
"""Filters that are conditions of another name; field and operator."""

_SHOWN = 40


def once(values: MultiDict[str, Any], but: Sequence[str] = ()) -> dict[str, Any]:
    """Each value of a URL or a form. Raises BadQuery for one that is there twice, `but` for some: nobody can tell which
    is meant.
    """
    for name, several in values.lists():
        if len(several) > 1 and name not in but:
            raise BadQuery(f"{name[:_SHOWN]} is given {len(several)} times; give it once")
    return values.to_dict()


def refuse_strangers(values: Iterable[str], names: Sequence[str], what: str = "argument") -> None:
    """Raise BadQuery for an argument, or `what` it is, that has none of these names."""
    if strangers := [name for name in values if name not in names]:
        name = str(strangers[0])  # werkzeug calls a part of a form without a name None
        known = f"there are: {', '.join(names)}" if names else "there are none"
        raise BadQuery(f"unknown {what} {name[:_SHOWN]!r}; {known}")


def read_text(text: str) -> str:
    """The text on one line; whatever is no Unicode becomes a question mark."""
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if len(line) > MAX_TEXT_LENGTH:
        raise BadQuery(f"the text has {len(line):,} characters; it may have {MAX_TEXT_LENGTH:,}")
    return line


def read_number(name: str, text: str | None) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise BadQuery(f"{name} is {text[:_SHOWN]!r}; give a whole number")
    return int(text)


def read_choice(name: str, text: str | None, choices: Sequence[str]) -> str:
    """The first of the choices where nothing is given."""
    if (text or choices[0]) not in choices:
        raise BadQuery(f"{name} is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(choices)}")
    return text or choices[0]


def read_target(text: str | None) -> Wanted:
    for target in WANTED:
        if target == (text or "images"):
            return target
    raise BadQuery(f"target is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(WANTED)}")


def read_sort(text: str | None) -> Sort:
    for sort in SORTS:
        if sort == (text or "relevance"):
            return sort
    raise BadQuery(f"sort is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(SORTS)}")


def read_ranking(text: str | None) -> Ranking:
    for ranking in RANKINGS:
        if ranking == (text or "balanced"):
            return ranking
    raise BadQuery(f"ranking is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(RANKINGS)}")


def read_yes_or_no(name: str, text: str | None) -> bool:
    if (text or "no") not in YES_OR_NO:
        raise BadQuery(f"{name} is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(YES_OR_NO)}")
    return YES_OR_NO[text or "no"]


def read_sensitive(text: str | None) -> bool:
    """Whether images with a sensitive tag are shown."""
    if (text or HIDE) not in SENSITIVE:
        raise BadQuery(f"sensitive is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(SENSITIVE)}")
    return text == SHOW


def read_filter(values: Mapping[str, str]) -> Filter:
    """The filters of a URL or a form, by their names in FILTERS; an empty one asks for nothing.

    Raises BadFilter, and BadQuery for `sensitive`.
    """
    given = {name: text for name in FILTERS if (text := read_text(values.get(name, "")))}
    show_sensitive = read_sensitive(given.pop("sensitive", None))
    conditions = [_below(one) for one in parse_conditions(given.pop("where", ""))]
    for tag in given.pop("tag", "").split(","):
        conditions += [condition("tag", ":", tag.strip())] if tag.strip() else []
    for name, text in given.items():
        field, operator = _FIELDS.get(name, (name, ":"))
        try:
            conditions.append(_below(condition(field, operator, text)))
        except BadFilter as error:
            raise BadFilter(f"{name}: {error}" if name in _FIELDS else str(error)) from error
    places.check(conditions)
    return Filter(tuple(conditions), show_sensitive)


def _below(one: Condition) -> Condition:
    """With a folder below a followed one: absolute paths are nobody's business."""
    return replace(one, value=str(one.value).strip("/")) if one.field == "folder" else one
