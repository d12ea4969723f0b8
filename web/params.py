"""What a request asks for -> checked values. Every refusal names the value and what may stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.errors import BadQuery
from search.query import IdTerm, ImageTerm, Term, TextTerm
from search.types import TARGETS, Target
from web.library import Shelf
from web.uploads import Uploads

MAX_TEXT_LENGTH = 1_000
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """The state of the search page: its URL says all of it. `picture` is the key of an upload."""

    q: str = ""
    id: int | None = None
    picture: str | None = None
    target: Target = "images"
    k: int | None = None

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Asked:
        """From a URL or a form. Raises BadQuery."""
        return cls(
            q=read_text(values.get("q", "")),
            id=read_number("id", values.get("id")),
            picture=values.get("picture") or None,
            target=read_target(values.get("target")),
            k=read_number("k", values.get("k")),
        )

    @property
    def is_empty(self) -> bool:
        return not self.q and self.id is None and self.picture is None

    def to_args(self) -> dict[str, Any]:
        """The arguments of its URL, without what is not asked."""
        values: dict[str, Any] = {"q": self.q, "id": self.id, "picture": self.picture, "k": self.k}
        if self.target != "images":
            values["target"] = self.target
        return {name: value for name, value in values.items() if value not in (None, "")}

    def terms(self, shelf: Shelf, uploads: Uploads) -> list[Term]:
        """Raises BadQuery for a picture that is no longer held and NotFound for an unknown id."""
        terms: list[Term] = [TextTerm(self.q)] if self.q else []
        if self.id is not None:
            shelf.record(self.id)
            terms.append(IdTerm(self.id))
        if self.picture is not None:
            if (upload := uploads.get(self.picture)) is None:
                raise BadQuery("the picture of this search is no longer held here; give it again")
            terms.append(ImageTerm(upload.data))
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


def read_target(text: str | None) -> Target:
    for target in TARGETS:
        if target == (text or "images"):
            return target
    raise BadQuery(f"target is {(text or '')[:_SHOWN]!r}; choose one of {', '.join(TARGETS)}")
