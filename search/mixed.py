"""One query -> pictures and texts together, the strongest first: a strength means the same for both."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter

from search.errors import BadQuery
from search.filters import Filter
from search.paging import Page, Sort, is_match
from search.query import Term
from search.ranking import Cursor, Cursors
from search.searcher import Searcher
from search.types import TARGETS, Hit, Ranking, Target, Wanted


def page(
    searcher: Searcher,
    terms: Sequence[Term],
    *,
    k: int,
    target: Wanted,
    where: Filter,
    sort: Sort = "relevance",
    group: bool = False,
    diverse: bool = False,
    templates: Sequence[str] = (),
    ranking: Ranking = "balanced",
    exact: bool = False,
    after: Cursor | Cursors | None = None,
) -> Page:
    """`Searcher.page` of what is wanted. Both come by relevance, neither grouped nor diverse: BadQuery otherwise."""
    ask = partial(searcher.page, terms, k=k, where=where, templates=templates, ranking=ranking, exact=exact)
    if target != "both" and not isinstance(after, Cursors):
        return ask(target=target, sort=sort, group=group, diverse=diverse, after=after)
    if target == "both" and not isinstance(after, Cursor):
        if sort != "relevance" or group or diverse:
            raise BadQuery("pictures and texts together come nearest first; leave sort, group and diverse out")
        return _both(ask, k, after)
    raise BadQuery(f"the cursor {after} came with pages of another target; give the one of the page before")


def _both(ask: Callable[..., Page], k: int, after: Cursors | None) -> Page:
    """The next `k` of both, of each of which `ask` gives a page."""
    last = after or Cursors(None, None)
    images, texts = ask(target="images", after=last.images), ask(target="texts", after=last.texts)
    seen = (last.images.seen if last.images else 0, last.texts.seen if last.texts else 0)
    hits = _merged(images.hits, texts.hits, seen)[:k]
    is_all = len(hits) == len(images.hits) + len(texts.hits) and not images.next and not texts.next
    following = Cursors(_moved(last.images, hits, "images"), _moved(last.texts, hits, "texts"))
    matched = _matched(*(is_match([hit for hit in hits if hit.target == target]) for target in TARGETS))
    return Page(hits, None if is_all else following, None if after else matched, images.length, images.state)


def _merged(images: Sequence[Hit], texts: Sequence[Hit], seen: tuple[int, int]) -> list[Hit]:
    """Each in its own order, after so many that were seen; where some strengths cannot be told, they take turns."""
    told = all(hit.strength is not None for hit in (*images, *texts))
    both = heapq.merge(_keyed(images, told, seen[0]), _keyed(texts, told, seen[1]), key=itemgetter(0), reverse=True)
    return [hit for _, hit in both]


def _keyed(hits: Sequence[Hit], told: bool, seen: int) -> Iterator[tuple[float, Hit]]:
    """With keys that descend: a hit comes no sooner than those before it, however strong it is."""
    key = math.inf
    for place, hit in enumerate(hits, seen):
        key = min(key, hit.strength) if told and hit.strength is not None else -place
        yield key, hit


def _moved(after: Cursor | None, hits: Sequence[Hit], target: Target) -> Cursor | None:
    """The cursor after those of the hits that are of the target."""
    taken = [hit.id for hit in hits if hit.target == target]
    return Cursor((after.seen if after else 0) + len(taken), taken[-1]) if taken else after


def _matched(*matched: bool | None) -> bool | None:
    """Whether one of them is a match; None where that is not known of all the others."""
    return True if True in matched else None if None in matched else False
