"""Ranked hits, from the first on -> a page of them: grouped, diverse, or in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np

from search.calibrate import MATCH
from search.diversity import WINDOW, diversified
from search.errors import BadQuery
from search.grouping import REACH, Groups, groups_from, leaders
from search.index import Vectors
from search.ranking import Cursor, Cursors
from search.records import State
from search.types import Hit, TextLength

Sort = Literal["relevance", "newest", "oldest"]
SORTS: tuple[Sort, ...] = ("relevance", "newest", "oldest")

Ranked = tuple[Hit, Vectors]
"""A hit with its unit vector, (dim,)."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some hits of a query. `next` asks for those that follow, None where there are none.

    `matched` says, with the first page, whether one of its hits is a match and not only near; None with further pages
    and where the collection is too small to say. `length` is that of the longest text asked, of which the model may
    read the beginning only; None without a text. `state` is that of the catalog that named the index.
    """

    hits: list[Hit]
    next: Cursor | Cursors | None
    matched: bool | None
    length: TextLength | None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """How hits come: by relevance or time; with near-identical ones behind the first of them (grouping.py); with those
    that show something else before those that do not (diversity.py), by relevance only. Raises BadQuery.
    """

    sort: Sort = "relevance"
    group: bool = False
    diverse: bool = False

    def __post_init__(self) -> None:
        if self.diverse and self.sort != "relevance":
            raise BadQuery(f"diverse goes by relevance, and the order is {self.sort}; leave one of them out")

    def page(
        self, first: Callable[[int], list[Ranked]], ranking: Vectors, k: int, after: Cursor | None
    ) -> tuple[list[Ranked], Cursor | None]:
        """`k` hits, fewer at the end, and what asks for the next; `first` gives so many of all, or all there are.

        Grouped, a page may be shorter without being the last: it looks no further than REACH hits, or four times `k`
        where that is more. `ranking` is the vector that they are ranked by, (dim,).
        """
        seen = after.seen if after else 0
        wanted = max(seen + (4 * k if self.group else k + 1), WINDOW)
        while True:
            ranked = first(wanted + 1)
            is_all = len(ranked) <= wanted
            shown, groups = self._groups(ranked[:wanted], ranking, k, after)
            if is_all or groups.end < len(shown) or wanted >= seen + REACH:
                break
            wanted = min(2 * wanted, seen + REACH)
        hits = [
            (replace(shown[place][0], alike=tuple(shown[one][0].id for one in behind)), shown[place][1])
            for place, behind in groups.found
        ]
        more = groups.end < len(shown) or not is_all
        return hits, Cursor(groups.end, shown[groups.end - 1][0].id) if more else None

    def _groups(
        self, ranked: Sequence[Ranked], ranking: Vectors, k: int, after: Cursor | None
    ) -> tuple[Sequence[Ranked], Groups]:
        """The hits in their new order, and those of the page by their places in it."""
        rows = np.stack([row for _, row in ranked]) if ranked else np.empty((0, len(ranking)), np.float32)
        if self.diverse:
            places = diversified(rows @ ranking, rows)
            ranked, rows = [ranked[place] for place in places], rows[places]
        start = after.following([hit.id for hit, _ in ranked]) if after else 0
        return ranked, groups_from(start, leaders(rows) if self.group else range(len(ranked)), k)


def in_time(ranked: Sequence[Ranked], sort: Sort) -> list[Ranked]:
    """By the time they were taken, those without one last; equal ones stay in their order."""
    dated = [item for item in ranked if item[0].facts.taken_at is not None]
    undated = [item for item in ranked if item[0].facts.taken_at is None]
    return sorted(dated, key=lambda item: item[0].facts.taken_at or datetime.min, reverse=sort == "newest") + undated


def is_match(best: Sequence[Hit]) -> bool | None:
    """Whether one of the hits is a match: the first need not be the strongest, since strengths are not what ranks."""
    strengths = [hit.strength for hit in best if hit.strength is not None]
    return max(strengths) >= MATCH if strengths else None if best else False
