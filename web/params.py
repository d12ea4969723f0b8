"""What a request asks for -> checked values. Every refusal names the value and what may stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from search.errors import BadFilter, BadQuery
from search.expression import Condition, condition, parse_conditions
from search.filters import Filter
from search.paging import SORTS, Sort
from search.query import IdTerm, Term, parse_text
from search.ranking import Cursor, Cursors, read_cursor
from search.records import Tag
from search.types import HIDE, RANKINGS, SENSITIVE, SHOW, WANTED, Ranking, Wanted
from web import places
from web.library import Shelf
from web.uploads import Uploads, key_of_url

MAX_TEXT_LENGTH = 1_000

FILTERS = ("where", "folder", "from", "to", "format", "orientation", "min_side", "camera", "place", "tag", "sensitive")
"""The names of what narrows a search, in URLs, forms and JSON alike."""

YES_OR_NO = {"yes": True, "no": False}

_FIELDS = {"from": ("taken", ">="), "to": ("taken", "<="), "min_side": ("side", ">=")}
"""Filters that are conditions of another name; field and operator."""

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """The state of the search page: its URL says all of it.

    `picture` is the key of an upload, `url` that of a picture elsewhere, `narrowed` the filters by their names, `after`
    where the page before ended. `same` asks which images are the same picture as that with the id; `group` and
    `diverse` as in search.paging.
    """

    q: str = ""
    id: int | None = None
    picture: str | None = None
    url: str | None = None
    target: Wanted = "images"
    sort: Sort = "relevance"
    narrowed: Mapping[str, str] = field(default_factory=dict)
    k: int | None = None
    after: Cursor | Cursors | None = None
    same: bool = False
    group: bool = False
    diverse: bool = False

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Asked:
        """From a URL or a form. Raises BadQuery. In the order of time hits are not diverse, whatever was chosen."""
        sort = read_sort(values.get("sort"))
        return cls(
            q=read_text(values.get("q", "")),
            id=read_number("id", values.get("id")),
            picture=values.get("picture") or None,
            url=values.get("url") or None,
            target=read_target(values.get("target")),
            sort=sort,
            narrowed={name: value for name in FILTERS if (value := read_text(values.get(name, "")))},
            k=read_number("k", values.get("k")),
            after=read_cursor(values.get("after")),
            same=read_yes_or_no("same", values.get("same")),
            group=read_yes_or_no("group", values.get("group")),
            diverse=read_yes_or_no("diverse", values.get("diverse")) and sort == "relevance",
        )

    @property
    def is_empty(self) -> bool:
        return not self.q and self.id is None and self.key is None

    @property
    def key(self) -> str | None:
        """Under which uploads hold the picture, sent or fetched."""
        return key_of_url(self.url) if self.url else self.picture

    def with_url(self) -> Asked:
        """A URL among the words is that of a picture, and takes the place of any other."""
        if not (found := re.search(r"(?<!\S)https?://\S+", self.q)):
            return self
        words = f"{self.q[: found.start()]} {self.q[found.end() :]}"
        return replace(self, q=read_text(words), url=found[0], picture=None, id=None)

    @property
    def is_of_a_picture(self) -> bool:
        """Whether the first page is asked for what is like one picture, whatever else is known of it."""
        alone = not self.q and (self.id is None) != (self.key is None) and self.after is None
        return alone and self.refinements.keys() <= {"sensitive", "group", "diverse"}

    def to_args(self) -> dict[str, Any]:
        """The arguments of its URL, without what is not asked."""
        values: dict[str, Any] = {"q": self.q, "id": self.id, "picture": self.picture, "url": self.url}
        if self.target != "images":
            values["target"] = self.target
        if self.sort != "relevance":
            values["sort"] = self.sort
        values |= {name: "yes" for name in ("same", "group", "diverse") if getattr(self, name)}
        values |= {**self.narrowed, "k": self.k, "after": self.after and str(self.after)}
        return {name: value for name, value in values.items() if value not in (None, "")}

    @property
    def refinements(self) -> dict[str, Any]:
        """What a new query goes on with: what is to be found, in which order, among what."""
        return replace(self, q="", id=None, picture=None, url=None, k=None, after=None, same=False).to_args()

    def but(self, **changes: Any) -> dict[str, Any]:
        """The arguments of the URL that asks the same from its first page on, with `changes`."""
        return replace(self, **{"k": None, "after": None, **changes}).to_args()

    def without(self, name: str) -> dict[str, Any]:
        """The arguments of the URL that asks the same without one filter."""
        return self.but(narrowed={other: value for other, value in self.narrowed.items() if other != name})

    def tagged(self, tag: Tag) -> dict[str, Any]:
        """The arguments of the URL of the images with a tag, those first that look most like it."""
        sensitive = {"sensitive": SHOW} if tag.sensitive or self.shows_sensitive else {}
        return Asked(q=tag.name, narrowed={"tag": tag.name, **sensitive}).to_args()

    def revealed(self) -> dict[str, Any]:
        """The arguments of the URL that asks the same of images with a sensitive tag too."""
        return self.but(narrowed={**self.narrowed, "sensitive": SHOW})

    @property
    def shows_sensitive(self) -> bool:
        """Whether images with a sensitive tag are shown."""
        return read_sensitive(self.narrowed.get("sensitive"))

    @property
    def where(self) -> Filter:
        """Raises BadFilter for a filter that cannot be read."""
        return read_filter(self.narrowed)

    def terms(self, shelf: Shelf, uploads: Uploads) -> list[Term]:
        """Raises BadQuery for a picture that is no longer held and NotFound for an unknown id."""
        pictures: list[bytes] = []
        if self.key is not None:
            if (upload := uploads.get(self.key)) is None:
                raise BadQuery("the picture of this search is no longer held here; give it again")
            pictures.append(upload.data)
        terms = parse_text(self.q, pictures)
        if self.id is not None and not any(isinstance(term, IdTerm) and term.id == self.id for term in terms):
            terms.append(IdTerm(self.id))
        for term in terms:
            if isinstance(term, IdTerm):
                shelf.record(term.id)
        return terms


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
