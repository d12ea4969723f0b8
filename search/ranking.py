"""A query's vector and an index -> neighbours in one fixed order, as far down as is wanted.

An index compares rounded rows. What it finds nearest, and a little more, is compared again with the stored vectors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.errors import BadQuery
from search.expression import Condition
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


@dataclass(frozen=True, slots=True)
class Cursors:
    """Where a page of pictures and texts together ended among each; None before the first of them."""

    images: Cursor | None
    texts: Cursor | None

    def __str__(self) -> str:
        return f"{self.images or ''}_{self.texts or ''}"

    @property
    def seen(self) -> int:
        return sum(one.seen for one in (self.images, self.texts) if one)


def read_cursor(text: str | None) -> Cursor | Cursors | None:
    """None for nothing. Raises BadQuery for anything that no page gave."""
    if not text:
        return None
    if text.count("_") != 1:
        return Cursor.read(text)
    images, texts = (Cursor.read(part) if part else None for part in text.split("_"))
    return Cursors(images, texts)


def rounding(dim: int) -> float:
    """How far the score that an index gives, whose rows are float16, may lie from that of the row itself.

    Errors that add up by chance: of a million real pictures, asked with pictures, one in 300 is farther off than a
    quarter of this, and none farther than half.
    """
    return 2.0**-8 / math.sqrt(dim)


def rank(
    index: VectorIndex,
    query: Vectors,
    count: int,
    among: Ids | None,
    *,
    where: Sequence[Condition] = (),
    exact: bool = False,
) -> list[Neighbour]:
    """The `count` nearest by the scores of the index, nearest first, equal ones by id; and all that may be as near.

    `among`, sorted ids, are all that count, and all satisfy `where`; None for what does of the whole index. Fewer come
    only where there are no more. With `exact` every vector is compared, whatever the kind of the index.
    """
    asked = count + count // 8 + 8
    while True:
        scores, ids = index.search(query[np.newaxis], asked, among, where=where, exact=exact)
        found = [(score, id_) for score, id_ in zip(scores[0].tolist(), ids[0].tolist(), strict=True) if id_ >= 0]
        nearest = candidates(found, count, len(query))
        if len(nearest) < len(found) or len(found) < asked:
            return sorted(nearest, key=lambda item: (-item[0], item[1]))
        asked *= 2


def surely_from(near: Sequence[Neighbour], count: int, dim: int) -> float:
    """The score by the stored row from which on nothing is missing in what `rank` found for `count`."""
    return near[count - 1][0] - rounding(dim) if len(near) >= count else -math.inf


def candidates(found: Sequence[Neighbour], count: int, dim: int, last: Neighbour | None = None) -> Sequence[Neighbour]:
    """Those among which the first `count` by stored rows are, or the first that follow `last`, which has its own score.

    `found` are neighbours by the scores of an index, nearest first.
    """
    if last:
        found = [neighbour for neighbour in found if neighbour[0] <= last[0] + rounding(dim)]
        count += sum(score >= last[0] - rounding(dim) for score, _ in found)
    if len(found) <= count:
        return found
    least = found[count - 1][0] - 2 * rounding(dim)
    return [neighbour for neighbour in found if neighbour[0] >= least]


def ranked(rows: Mapping[int, Vectors], query: Vectors, last: Neighbour | None = None) -> list[Neighbour]:
    """Rows, (dim,), by id -> those after `last`, nearest first, equal ones by id.

    Each row is multiplied alone: in a product of matrices the same row may have two scores.
    """
    order = sorted((-float(row @ query), id_) for id_, row in rows.items())
    return [(-less, id_) for less, id_ in order if last is None or (less, id_) > (-last[0], last[1])]
