"""An index in a Milvus server: a complete collection there, which nobody changes, is searched.

What changes in the catalog is read after the next publication, as with files. So queries are asked at the consistency
"Eventually", which has nothing to wait for; "Strong" takes a third of a second longer and finds the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from search.errors import BadQuery, CollectionError
from search.expression import Condition
from search.index import REPAIR, Ids, Neighbours, Vectors, checked, no_neighbours, sampled
from search.milvus_fields import expression
from search.milvus_place import MilvusPlace
from search.milvus_server import NOT_FOUND, NOT_LOADED, asking, connect, failed_with
from search.types import IndexFacts

MOST_NEIGHBOURS = 16_384
"""Milvus gives no more of one query."""

FEW = 5_000
"""So many ids are asked for one by one: a thirtieth of a second."""

SPARE = 50

METRIC = "IP"
VECTOR, ID, PLACE = "vector", "id", "place"
"""Fields: the row, its id, and how many ids are smaller."""

_SEARCH_TIMEOUT_S = 30
"""For each query: those that measure recall are many at once, and compare all."""

_LOAD_TIMEOUT_S = 600
_QUERIES_AT_ONCE = 500
_ROWS_AT_ONCE = 2_000


class MilvusIndex:
    """The collection `name` of the server of a place. `lists` is into how many cells an IVF index divides its rows."""

    def __init__(self, place: MilvusPlace, name: str, dim: int, facts: IndexFacts, *, lists: int = 0) -> None:
        self.kind = facts.kind
        self.name = name
        self._place, self._dim, self._count = place, dim, facts.vectors
        self._lists, self._probes = lists, facts.candidates
        self._client = connect(place)

    @classmethod
    def open(cls, place: MilvusPlace, name: str, dim: int, facts: IndexFacts) -> Self:
        """Raises FileNotFoundError where there is no such collection, CollectionError where it is another one."""
        client = connect(place)
        with asking(place):
            if not client.has_collection(name, timeout=_SEARCH_TIMEOUT_S):
                raise FileNotFoundError(f"{name} in {place.uri}")
            described = client.describe_collection(name, timeout=_SEARCH_TIMEOUT_S)
            (held,) = (field["params"]["dim"] for field in described["fields"] if field["name"] == VECTOR)
            if held != dim:
                raise CollectionError(f"{name} in {place.uri} holds vectors of {held} dimensions, not of {dim}")
            index = client.describe_index(name, VECTOR, timeout=_SEARCH_TIMEOUT_S)
            client.load_collection(name, timeout=_LOAD_TIMEOUT_S)
        return cls(place, name, dim, facts, lists=int((index or {}).get("nlist", 0)))

    def __len__(self) -> int:
        return self._count

    def search(
        self,
        queries: Vectors,
        k: int,
        among: Ids | None = None,
        *,
        where: Sequence[Condition] = (),
        exact: bool = False,
    ) -> Neighbours:
        queries = checked(queries, self._dim)
        parts = [queries[start : start + _QUERIES_AT_ONCE] for start in range(0, len(queries), _QUERIES_AT_ONCE)]
        if among is None:
            found = [self._nearest(part, k, exact=exact) for part in parts]
        else:
            found = [self._among(part, min(k, max(len(among), 1)), among, where) for part in parts]
        found = found or [no_neighbours(0, k)]
        return Neighbours(*(np.concatenate(side) for side in zip(*found, strict=True)))

    def tells(self, asked: Condition) -> bool:  # noqa: ARG002
        return False

    def some_ids(self, count: int) -> Ids:
        found = self._queried(f"{PLACE} in {sampled(len(self), count).tolist()}", [ID])
        return np.sort(np.array([row[ID] for row in found], np.int64))

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        end = min(start + count, len(self))
        found = [row for first in range(start, end, _ROWS_AT_ONCE) for row in self._rows(first, end)]
        ids = np.array([row[ID] for row in found], np.int64)
        return ids, np.array([row[VECTOR] for row in found], np.float32).reshape(len(found), self._dim)

    def rounded(self, rows: Vectors) -> Vectors:
        return rows

    def _rows(self, first: int, end: int) -> list[dict[str, Any]]:
        """Some rows from the place `first` on, before `end`, in their order."""
        end = min(first + _ROWS_AT_ONCE, end)
        found = self._queried(f"{PLACE} >= {first} and {PLACE} < {end}", [PLACE, ID, VECTOR])
        return sorted(found, key=lambda row: row[PLACE])

    def _queried(self, condition: str, fields: list[str]) -> list[dict[str, Any]]:
        """Those fields of the rows for which the condition holds."""
        found: list[dict[str, Any]] = self._asked(
            lambda: self._client.query(
                self.name,
                filter=condition,
                output_fields=fields,
                consistency_level="Eventually",
                timeout=_SEARCH_TIMEOUT_S,
            )
        )
        return found

    def _among(self, queries: Vectors, k: int, among: Ids, where: Sequence[Condition]) -> Neighbours:
        """The k nearest of some ids: these asked for where they are few. Of many, the nearest of all that satisfy in
        Milvus what these satisfy are passed through, more and more of them, until k are among the ids.
        """
        if len(among) > FEW:
            condition = expression(where)
            limit = SPARE + 2 * k * (1 if condition else max(1, len(self) // len(among)))
            while limit <= MOST_NEIGHBOURS:
                found = self._nearest(queries, limit, condition, exact=True)
                member = (among.take(np.searchsorted(among, found.ids), mode="clip") == found.ids) & (found.ids >= 0)
                if member.sum(axis=1).min() >= k or (found.ids[:, -1] < 0).all():
                    return _first(Neighbours(np.where(member, found.scores, -np.inf), found.ids), k)
                limit *= 4
        parts = (among[start : start + FEW].tolist() for start in range(0, len(among), FEW))
        chosen = [self._nearest(queries, k, f"{ID} in {ids}", exact=True) for ids in parts]
        if not chosen:
            return no_neighbours(len(queries), 1)
        return _first(Neighbours(*(np.concatenate(side, axis=1) for side in zip(*chosen, strict=True))), k)

    def _nearest(self, queries: Vectors, k: int, condition: str = "", *, exact: bool) -> Neighbours:
        """The k nearest rows of which the condition holds; of less than all cells unless `exact`."""
        k = min(k, max(len(self), 1))
        if k > MOST_NEIGHBOURS:
            raise BadQuery(
                f"Milvus finds up to {MOST_NEIGHBOURS:,} neighbours, not {k:,}: narrow the search by a filter"
            )
        params = {"nprobe": self._lists if exact else self._probes} if self._lists else {}
        hits = self._asked(
            lambda: self._client.search(
                self.name,
                list(queries),
                filter=condition,
                limit=k,
                search_params={"metric_type": METRIC, "params": params},
                consistency_level="Eventually",
                timeout=_SEARCH_TIMEOUT_S * len(queries),
            )
        )
        found = no_neighbours(len(queries), k)
        for row, some in enumerate(hits):
            found.scores[row, : len(some)] = [hit["distance"] for hit in some]
            found.ids[row, : len(some)] = [hit[ID] for hit in some]
        return found

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """What the server answers; it is made to load the collection where it has not after a restart."""
        try:
            with asking(self._place):
                return ask()
        except CollectionError as error:
            if failed_with(error, NOT_FOUND):
                raise CollectionError(
                    f"{self.name} is gone from the Milvus server at {self._place.uri}: where another index was "
                    f"published meanwhile, ask again; else {REPAIR}"
                ) from error
            if not failed_with(error, NOT_LOADED):
                raise
        with asking(self._place):
            self._client.load_collection(self.name, timeout=_LOAD_TIMEOUT_S)
            return ask()


def _first(found: Neighbours, k: int) -> Neighbours:
    """The k best of each row, and nothing where the score is none."""
    best = np.argsort(-found.scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(found.scores, best, axis=1)
    return Neighbours(scores, np.where(np.isfinite(scores), np.take_along_axis(found.ids, best, axis=1), -1))
