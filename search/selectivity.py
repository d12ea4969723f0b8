"""A filter -> how its hits are found: by going down the ranking of everything, or among the ids that match.

Of facts that an image keeps the index knows by itself which match (fact_columns.py). Else SQL is asked: where much
matches, as some ids from everywhere tell, it is asked of the nearest neighbours only; where little does, all that match
are read from the catalog, and only they are ranked. No hit is missed either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import ceil

from search.catalog import Catalog
from search.expression import Condition
from search.filters import Filter
from search.index import Ids, VectorIndex
from search.records import State
from search.types import Root, Target

MANY = 50_000
"""From so many vectors on it is worth a look how much matches: all that match are many."""

SAMPLE = 80

OFTEN = 0.1
"""Where as much of a sample matches, hits are sooner found among neighbours than all that match are read."""

REACH = 1_000
"""Of how many neighbours SQL is asked at most."""

SPARE = 5
"""How many hits more than wanted are expected among twice the neighbours: chance is greater where few are wanted."""

_KEPT = 1_000
"""For how many filters it is kept how much matches."""

HIDDEN_WIDER = 3
"""How much further is looked, at first, where some images are hidden."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`among`, ids that ascend, are ranked, None for what the index has that satisfies `where`; of their first `wider`
    times as many as wanted, `hits` says which are hits. With `exact` every vector is compared.
    """

    among: Ids | None
    where: Sequence[Condition]
    hits: Callable[[Sequence[int]], frozenset[int]]
    wider: int
    exact: bool


class Planner:
    """Makes the plans for one collection. Threads may share it.

    About how much matches a filter is kept: where that has changed, a search takes longer and finds the same.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._share = lru_cache(_KEPT)(self._sampled)

    def plan(self, live: tuple[VectorIndex, State], target: Target, where: Filter, wanted: int, *, exact: bool) -> Plan:
        """For neighbours of which `wanted` are asked for. BadFilter for an unknown tag."""
        index, state = live
        told, left = _divided(index, where)
        if left.is_empty:
            # by the state that named the index: no image is in an index before it has its tags
            hidden = frozenset() if where.show_sensitive else self._catalog.tags.hidden(target, state)
            if not hidden:
                return Plan(None, told, frozenset, 1, exact)
            return Plan(None, told, lambda ids: frozenset(ids) - hidden, HIDDEN_WIDER, exact)
        if len(index) >= MANY:
            share = self._share(left, target, state.roots, tuple(index.some_ids(SAMPLE).tolist()), state.tag_changes)
            if share >= OFTEN and (wider := ceil((2 * wanted + SPARE) / (share * wanted))) * wanted <= REACH:
                hits = partial(self._catalog.matching_among, left, target, state.roots)
                return Plan(None, told, hits, wider, exact=True)
        return self.among_matching(index, target, where)

    def among_matching(self, index: VectorIndex, target: Target, where: Filter) -> Plan:
        matching = self._catalog.matching(_divided(index, where)[1], target)
        return Plan(matching, where.conditions, frozenset, 1, exact=True)

    def _sampled(
        self, where: Filter, target: Target, roots: tuple[Root, ...], some: Sequence[int], _tag_changes: int
    ) -> float:
        """Which part of some ids matches. BadFilter for an unknown tag."""
        self._catalog.tags.require(where.tags)
        return len(self._catalog.matching_among(where, target, roots, some)) / len(some)


def _divided(index: VectorIndex, where: Filter) -> tuple[Sequence[Condition], Filter]:
    """What the index tells, and what SQL has to."""
    told = tuple(asked for asked in where.conditions if index.tells(asked))
    return told, replace(where, conditions=tuple(asked for asked in where.conditions if asked not in told))
