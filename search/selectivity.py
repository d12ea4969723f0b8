"""A filter -> how its hits are found: by going down the ranking of everything, or among the ids that match.

Of facts that an image keeps the index knows which ids match (fact_columns.py). Else SQL is asked: where much matches,
some hundred neighbours hold enough hits, and only they are compared with the filter; where little does, all that match
are read from the catalog, and only they are ranked. No hit is missed either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.catalog import Catalog
from search.filters import Filter
from search.index import Ids, VectorIndex, Vectors
from search.ranking import rank
from search.records import State
from search.types import Target

MANY = 50_000
"""From so many vectors on it is worth a look whether hits are among the neighbours: all that match are many."""

REACH = 1_000
"""How many neighbours are looked at."""

HIDDEN_WIDER = 3
"""How much further is looked, at first, where some images are hidden."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`among`, ids that ascend, are ranked, None for all that the index has; of their first `wider` times as many as
    wanted, `hits` says which are hits. With `exact` every vector is compared.
    """

    among: Ids | None
    hits: Callable[[Sequence[int]], frozenset[int]]
    wider: int
    exact: bool


def among_matching(catalog: Catalog, target: Target, where: Filter) -> Plan:
    return Plan(catalog.matching(where, target), frozenset, 1, exact=True)


def plan(
    catalog: Catalog,
    live: tuple[VectorIndex, State],
    query: Vectors,
    target: Target,
    where: Filter,
    wanted: int,
    *,
    exact: bool,
) -> Plan:
    """For the neighbours of `query`, (dim,), of which `wanted` are asked for. BadFilter for an unknown tag."""
    index, state = live
    among = None if where.is_empty else index.satisfying(where.conditions)
    if where.is_empty or among is not None:
        # by the state that named the index: no image is in an index before it has its tags
        hidden = frozenset() if where.show_sensitive else catalog.tags.hidden(target, state)
        if not hidden:
            return Plan(among, frozenset, 1, exact)
        return Plan(among, lambda ids: frozenset(ids) - hidden, HIDDEN_WIDER, exact)
    if len(index) >= MANY and 4 * wanted <= REACH:
        known: dict[int, bool] = {}

        def hits(ids: Sequence[int]) -> frozenset[int]:
            if new := [id_ for id_ in ids if id_ not in known]:
                matching = frozenset(catalog.matching(where, target, new).tolist())
                known.update((id_, id_ in matching) for id_ in new)
            return frozenset(id_ for id_ in ids if known[id_])

        if found := _reaching(index, query, hits, wanted):
            return Plan(None, hits, 2 + found // wanted, exact=True)
    return among_matching(catalog, target, where)


def _reaching(
    index: VectorIndex, query: Vectors, hits: Callable[[Sequence[int]], frozenset[int]], wanted: int
) -> int | None:
    """About how many neighbours of `query` hold `wanted` hits; None where REACH does not."""
    ids = [id_ for _, id_ in rank(index, query, REACH, None)][:REACH]
    count = 2 * wanted
    while True:
        there = len(hits(ids[:count]))
        if there >= wanted:
            return count
        if count >= len(ids) or 2 * there * REACH < wanted * count:  # even if there were twice as many
            return None
        count *= 2
