"""A query -> hits: embed the terms, ask the live index, and give each neighbour its row."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search.background import BACKGROUND_TEXTS
from search.balance import Part, balanced_sum, plain_sum
from search.calibrate import MATCH, Calibrator
from search.collection import Collection
from search.embedder import Embedder
from search.errors import BadQuery
from search.filters import Filter
from search.hits import hit_of
from search.index import VectorIndex, Vectors
from search.paging import Order, Page, Ranked, Sort, in_time, is_match
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm, checked, unit
from search.ranking import Cursor, Neighbour, candidates, ranked
from search.records import State
from search.selectivity import Planner
from search.settings import MAX_K
from search.timing import Observe, ignore, timed
from search.types import TARGETS, Hit, Ranking, Target

if TYPE_CHECKING:
    from search.encoder import Encoder

_EVERYTHING = Filter()

_TURNS = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Queries that look for hits at once. More of them would mostly wait for each other, and take half as long again on the
processors: with each row that is read, a thread gives Python's lock away and asks for it again.
"""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked for, and where: the index with the state that named it, terms, their plain sum, which scores, and
    the vector that ranks; unit, (dim,).
    """

    live: tuple[VectorIndex, State]
    parts: Sequence[Part]
    vector: Vectors
    ranking: Vectors
    target: Target
    without: frozenset[int]
    exact: bool


class Searcher:
    """Searches one collection. `load_encoder` is called when a query first needs a tower, and not before.

    Scores are cosine similarities to the sum of the terms. Hits come in the order of `ranking`: "balanced" sees that no
    term drowns another and that no image is near to every text (balance.py), "cosine" is the order of the scores.

    The `by_` methods, `search` and `page` return at most `k` hits, nearest first, and raise BadQuery for a `k` outside
    1..MAX_K or an unknown id, BadPicture for a picture that cannot be read, and EncoderMismatch when the encoder is not
    the collection's. Images with a sensitive tag, and their texts, are no hits unless the filter `where` shows them.
    `observe` is told how long each stage took. `background` are ordinary texts, with which a text is compared.
    """

    def __init__(
        self,
        collection: Collection,
        load_encoder: Callable[[], Encoder],
        *,
        observe: Observe = ignore,
        background: Sequence[str] = BACKGROUND_TEXTS,
    ) -> None:
        self.collection = collection
        self.embedder = Embedder(collection, load_encoder, observe)
        self._observe = observe
        self._planner = Planner(collection.catalog)
        self._calibrator = Calibrator(collection, self.embedder.encode_texts, background)

    def by_text(self, text: str, *, k: int = 10, target: Target = "images") -> list[Hit]:
        return self.search([TextTerm(text)], k=k, target=target)

    def by_image(self, source: Path | bytes, *, k: int = 10, target: Target = "images") -> list[Hit]:
        return self.search([ImageTerm(source)], k=k, target=target)

    def by_id(self, image_id: int, *, k: int = 10, target: Target = "images") -> list[Hit]:
        """The neighbours of an image of the collection, without itself."""
        return self.search([IdTerm(image_id)], k=k, target=target)

    def by_vector(self, vector: NDArray[np.float32], *, k: int = 10, target: Target = "images") -> list[Hit]:
        return self.search([VectorTerm(vector)], k=k, target=target)

    def search(
        self,
        terms: Sequence[Term],
        *,
        k: int = 10,
        target: Target = "images",
        where: Filter = _EVERYTHING,
        ranking: Ranking = "balanced",
        exact: bool = False,
    ) -> list[Hit]:
        """The hits of the weighted sum of `terms` that satisfy `where`; images asked by id are not among them.

        With `exact` every vector is compared, whatever the kind of the index.
        """
        asked = self._ask(terms, k, target, ranking, exact=exact)
        with _TURNS:
            return [hit for hit, _ in self._following(asked, k, None, where)]

    def page(
        self,
        terms: Sequence[Term],
        *,
        k: int = 10,
        target: Target = "images",
        where: Filter = _EVERYTHING,
        sort: Sort = "relevance",
        group: bool = False,
        diverse: bool = False,
        templates: Sequence[str] = (),
        ranking: Ranking = "balanced",
        exact: bool = False,
        after: Cursor | None = None,
    ) -> Page:
        """Like `search`, of the images that satisfy `where`, after the hits of the pages before, with strengths.

        Sorted by time the matches come, at most MAX_K of them, those without a time last; by relevance every image.
        `group` and `diverse` are those of search.paging.Order. With `templates` the mean vector of a text in all of
        them stands for the text.
        """
        order = Order(sort, group, diverse)
        asked = self._ask(terms, k, target, ranking, exact=exact, templates=templates)
        with _TURNS:
            found, more = self._paged(asked, order, k, where, after)
        hits = [hit for hit, _ in found]
        length = self.embedder.longest([term.text for term in terms if isinstance(term, TextTerm)], templates)
        return Page(hits, more, None if after else is_match(hits), length, asked.live[1])

    def _paged(
        self, asked: _Asked, order: Order, k: int, where: Filter, after: Cursor | None
    ) -> tuple[Sequence[Ranked], Cursor | None]:
        """The hits of a page, and where the next begins."""
        if order.sort != "relevance":
            best = self._strong(asked, self._following(asked, MAX_K, None, where))
            matches = in_time(
                [item for item in best if item[0].strength is None or item[0].strength >= MATCH], order.sort
            )
            return order.page(lambda count: matches[:count], asked.ranking, k, after)
        if order.group or order.diverse:
            found, more = order.page(lambda count: self._following(asked, count, None, where), asked.ranking, k, after)
        else:
            found = self._following(asked, k + 1, after, where)
            more = Cursor((after.seen if after else 0) + k, found[k - 1][0].id) if len(found) > k else None
        return self._strong(asked, found[:k]), more

    def _ask(
        self,
        terms: Sequence[Term],
        k: int,
        target: Target,
        ranking: Ranking,
        *,
        exact: bool,
        templates: Sequence[str] = (),
    ) -> _Asked:
        if not 1 <= k <= MAX_K:
            raise BadQuery(f"k is {k}; it may be from 1 to {MAX_K}")
        if target not in TARGETS:
            raise BadQuery(f"target is {target!r}; choose one of {', '.join(TARGETS)}")
        parts = [
            Part(self.embedder.embed(term, templates), term.weight, "text" if isinstance(term, TextTerm) else "image")
            for term in checked(terms)
        ]
        live = self.collection.live(target)
        vector = unit(plain_sum(parts, self._calibrator))
        ranked = vector if ranking == "cosine" else unit(balanced_sum(parts, target, self._calibrator))
        ids = [term.id for term in terms if isinstance(term, IdTerm)] if target == "images" else []
        return _Asked(live, parts, vector, ranked, target, frozenset(ids), exact)

    def _following(self, asked: _Asked, count: int, after: Cursor | None, where: Filter) -> list[Ranked]:
        """`count` hits after a page, all of the rest where there are fewer.

        It looks further until enough neighbours have a row: rows may go between two publications.
        """
        catalog, target = self.collection.catalog, asked.target
        before = len(asked.without) + (after.seen if after else 0)
        last = next(iter(ranked(catalog.stored(target, [after.last]), asked.ranking)), None) if after else None
        way, take = None, count
        while True:
            wanted = before + take
            with timed("index", self._observe):
                way = way or self._planner.plan(asked.live, target, where, wanted, exact=asked.exact)
                found, least = way.hits(asked.live[0], asked.ranking, wanted)
            shown = [item for item in found if item[1] not in asked.without]
            with timed("hydrate", self._observe):
                hits = self._nearest(asked, shown[after.seen :] if after and not last else shown, take, last, least)
            if len(hits) >= count:
                return hits[:count]
            if way.passes_over:
                way = self._planner.among_matching(asked.live[0], target, where)
            elif least == -math.inf:
                return hits
            else:
                take *= 2

    def _nearest(
        self, asked: _Asked, found: Sequence[Neighbour], count: int, last: Neighbour | None, least: float
    ) -> list[Ranked]:
        """Of what the index found, the first `count` by their stored rows, after the `last` of the page before; none
        below `least`, where others may be nearer.
        """
        spare = 0
        while True:
            near = candidates(found, count + spare, len(asked.ranking), last)
            rows = self.collection.catalog.rows(asked.target, [id_ for _, id_ in near])
            gone = len(near) - len(rows)  # since the publication: others take their places
            if gone == spare or len(near) == len(found):
                break
            spare = gone
        nearest = ranked({id_: row.vector for id_, row in rows.items()}, asked.ranking, last)[:count]
        return [
            (hit_of(asked.target, id_, float(rows[id_].vector @ asked.vector), rows[id_]), rows[id_].vector)
            for score, id_ in nearest
            if score >= least
        ]

    def _strong(self, asked: _Asked, hits: list[Ranked]) -> list[Ranked]:
        """The hits with their strengths, where these can be told."""
        if not hits:
            return []
        parts = [(part.weight, part.vector, part.modality) for part in asked.parts]
        strengths = self._calibrator.strengths(parts, asked.target, np.stack([row for _, row in hits]))
        if strengths is None:
            return hits
        return [(replace(hit, strength=strength), row) for (hit, row), strength in zip(hits, strengths, strict=True)]
