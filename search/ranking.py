"""A query's vector and an index -> neighbours in one fixed order, as far down as is wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.errors import BadQuery
from search.index import Ids, VectorIndex, Vectors

Neighbour = tuple[float, int]
"""Score and id."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: how many hits came before the next one, and the id of the last of them."""

    seen: int
    last: int

    def __str__(self) -> str:
        return f"{self.seen}.{self.last}"

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises BadQuery for anything that no page gave."""
        if not (found := re.fullmatch(r"([1-9]\d{0,9})\.(\d{1,18})", text, re.ASCII)):
            raise BadQuery(f"{text[:40]!r} is no cursor; give the one that came with the page before")
        return cls(int(found[1]), int(found[2]))

    def following(self, ids: Sequence[int]) -> int:
        """The place in `ids` after the last hit: by its id, so that nothing is shown twice when more has come."""
        return ids.index(self.last) + 1 if self.last in ids else self.seen


def rank(index: VectorIndex, query: Vectors, count: int, among: Ids | None, *, exact: bool = False) -> list[Neighbour]:
    """The `count` nearest and those that score like the last, nearest first, equal ones by id.

    `among`, sorted ids, are all that count; None for the whole index. Fewer come only where there are no more.
    With `exact` every vector is compared, whatever the kind of the index.
    """
    size = len(index) if among is None else len(among)
    asked = count + 1
    while True:
        scores, ids = index.search(query[np.newaxis], asked, among, exact=exact)
        found = [(score, id_) for score, id_ in zip(scores[0].tolist(), ids[0].tolist(), strict=True) if id_ >= 0]
        if len(found) <= count or found[-1][0] < found[count - 1][0] or asked >= size:
            break
        asked *= 2
    least = found[count - 1][0] if len(found) > count else -np.inf
    return sorted((neighbour for neighbour in found if neighbour[0] >= least), key=lambda item: (-item[0], item[1]))
