"""What the search page asks, as its URL says it, and the URLs that ask a little else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from search.errors import BadQuery
from search.filters import Filter
from search.paging import Sort
from search.query import IdTerm, Term, parse_text
from search.ranking import Cursor, Cursors, read_cursor
from search.records import Tag
from search.types import SHOW, Wanted
from web.library import Shelf
from web.params import (
    FILTERS,
    read_filter,
    read_number,
    read_sensitive,
    read_sort,
    read_target,
    read_text,
    read_yes_or_no,
)
from web.uploads import Uploads, key_of_url

_OF_A_COLLECTION = ("folder", "format", "camera", "tag")
"""Filters by what one collection has and another has not."""


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

    @classmethod
    def read_what_can_be(cls, values: Mapping[str, str]) -> Asked:
        """What `read` gives of those values that it does not refuse."""
        known: dict[str, str] = {}
        for name, value in values.items():
            with suppress(BadQuery):
                cls.read({name: value})
                known[name] = value
        return cls.read(known)

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

    def elsewhere(self) -> Asked:
        """What is asked of another collection, where an id means another image and there are other folders and tags."""
        narrowed = {name: value for name, value in self.narrowed.items() if name not in _OF_A_COLLECTION}
        return replace(self, id=None, narrowed=narrowed)

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
