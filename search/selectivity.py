"""A filter -> how its hits are found: by going down the ranking of everything, or among the ids that match.

Of facts that an image keeps the index knows by itself which match (fact_columns.py). Else SQL is asked: where much
matches, as some ids from everywhere tell, it is asked of the nearest neighbours only; where little does, all that match
are read from the catalog, and only they are ranked. No hit is missed either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import ceil, sqrt

from search.catalog import Catalog
from search.expression import Condition
from search.filters import Filter
from search.index import Ids, VectorIndex, Vectors
from search.ranking import Neighbour, candidates, rank, surely_from
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

_NO_WIDER = (1.0,)

HIDDEN_WIDER = (3.0,)
"""How much further is looked, at first, where some images are hidden."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`among`, ids that ascend, are ranked, None for what the index has that satisfies `where`; `hits_of` says which of
    some neighbours are hits. With `exact` every vector is compared.

    How many neighbours are looked at, the numbers of `wider` say, times as many as wanted: the next where hits lack.
    """

    among: Ids | None
    where: Sequence[Condition]
    hits_of: Callable[[Sequence[int]], frozenset[int]]
    wider: tuple[float, ...]
    exact: bool

    @property
    def passes_over(self) -> bool:
        """Whether some of the neighbours may be no hits."""
        return self.wider != _NO_WIDER

    def hits(self, index: VectorIndex, query: Vectors, wanted: int) -> tuple[list[Neighbour], float]:
        """The neighbours that are hits, `wanted` at least where as many are so near, and the score by the stored row
        from which on none is missing; -inf where these are all.
        """
        reach = [ceil(times * wanted) for times in self.wider]
        near = rank(index, query, reach[-1], self.among, where=self.where, exact=self.exact)
        found: list[Neighbour] = []
        asked = 0
        for count in reach:
            some = near[asked : (asked := len(candidates(near, count, len(query))))]
            hit_ids = self.hits_of([id_ for _, id_ in some])
            found += [neighbour for neighbour in some if neighbour[1] in hit_ids]
            if len(found) >= wanted:
                break
        return found, surely_from(near, count, len(query))


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
                return Plan(None, told, frozenset, _NO_WIDER, exact)
            return Plan(None, told, lambda ids: frozenset(ids) - hidden, HIDDEN_WIDER, exact)
        if len(index) >= MANY:
            share = self._share(left, target, state.roots, tuple(index.some_ids(SAMPLE).tolist()), state.tag_changes)
            if share >= OFTEN and (2 * wanted + SPARE) / share <= REACH:
                hits = partial(self._catalog.matching_among, left, target, state.roots)
                wider = tuple(count / (share * wanted) for count in (wanted + sqrt(wanted), 2 * wanted + SPARE))
                return Plan(None, told, hits, wider, exact=True)
        return self.among_matching(index, target, where)

    def among_matching(self, index: VectorIndex, target: Target, where: Filter) -> Plan:
        matching = self._catalog.matching(_divided(index, where)[1], target)
        return Plan(matching, where.conditions, frozenset, _NO_WIDER, exact=True)

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
