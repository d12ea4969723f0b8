"""Pages follow each other without a gap or a double, in one order, whatever happens between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import BadQuery
from search.exact_index import ExactIndex
from search.expression import Condition
from search.index import Ids, Neighbours, VectorIndex, Vectors
from search.paging import SORTS
from search.query import IdTerm, TextTerm, VectorTerm
from search.ranking import Cursor, candidates, rank, ranked, rounding
from search.records import State
from search.searcher import Searcher
from search.types import Facts, Target
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from web.app import create_app

RED = [TextTerm("red")]


def all_pages(searcher: Searcher, k: int, **options: object) -> list[int]:
    found, after = [], None
    while True:
        page = searcher.page(RED, k=k, after=after, **options)  # type: ignore[arg-type]
        found += [hit.id for hit in page.hits]
        if page.next is None:
            return found
        assert len(page.hits) == k
        after = Cursor.read(str(page.next))


@pytest.fixture
def many(photos: Path, index: Build) -> Path:
    """Reds of which many are the same, so that scores are equal."""
    for number in range(30):
        paint(photos / f"{number:02}.png", ("red", "magenta", "black")[number % 3], (10 + number % 2, 10))
    index(photos)
    return photos


@pytest.mark.parametrize("k", [1, 4, 7, 32, 33, 100])
def test_pages_give_every_image_once_in_the_order_of_one_large_page(searcher: Searcher, many: Path, k: int) -> None:
    everything = [hit.id for hit in searcher.by_text("red", k=1000)]
    assert len(set(everything)) == 33
    assert all_pages(searcher, k) == everything


def test_equal_scores_come_by_id_however_many_are_asked_for(searcher: Searcher, many: Path) -> None:
    hits = searcher.by_text("red", k=1000)
    assert [hit.id for hit in hits] == [hit.id for hit in sorted(hits, key=lambda hit: (-hit.score, hit.id))]
    for k in range(1, 33):
        assert [hit.id for hit in searcher.by_text("red", k=k)] == [hit.id for hit in hits[:k]]


def test_an_image_asked_by_id_is_on_no_page(searcher: Searcher, many: Path) -> None:
    asked = searcher.by_text("red", k=1)[0].id
    first = searcher.page([IdTerm(asked)], k=20)
    second = searcher.page([IdTerm(asked)], k=20, after=first.next)
    found = [hit.id for hit in first.hits + second.hits]
    assert len(set(found)) == 32
    assert asked not in found
    assert second.next is None


def test_what_a_build_puts_before_the_cursor_is_not_shown_and_nothing_twice(
    searcher: Searcher, many: Path, index: Build
) -> None:
    first = searcher.page([TextTerm("white")], k=10)
    for number in range(5):
        paint(many / f"new{number}.png", "white", (20 + number, 20))
    index(many)
    second = searcher.page([TextTerm("white")], k=10, after=first.next)
    assert not {hit.id for hit in first.hits} & {hit.id for hit in second.hits}
    assert not any(hit.path.name.startswith("new") for hit in second.hits)


def test_a_cursor_whose_image_was_removed_goes_on_at_its_place(
    searcher: Searcher, many: Path, collection: Collection, index: Build
) -> None:
    everything = [hit.id for hit in searcher.by_text("red", k=1000)]
    first = searcher.page(RED, k=5)
    collection.catalog.apply(Changes(removed=[first.hits[-1].id]))
    second = searcher.page(RED, k=5, after=first.next)
    assert [hit.id for hit in second.hits] == everything[5:10]


@pytest.mark.parametrize("text", ["", "5", "5.", "0.3", "-1.2", "5.x", "٣.٣", "1." + "9" * 19, "5.3.1"])
def test_what_no_page_gave_is_no_cursor(text: str) -> None:
    with pytest.raises(BadQuery, match="no cursor"):
        Cursor.read(text)


def test_ranking_closes_a_group_of_equal_scores_that_is_cut() -> None:
    rows = np.tile(np.array([[1, 0]], np.float32), (50, 1))
    index = ExactIndex.build(2, [(np.arange(1, 51), np.concatenate([rows[:45], [[0, 1]] * 5]).astype(np.float32))])
    ranked = rank(index, np.array([1, 0], np.float32), 3, None)
    assert [id_ for _, id_ in ranked] == list(range(1, 46))


@pytest.mark.parametrize("dim", [4, 512])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_what_rounded_rows_bring_out_of_order_comes_in_order_on_every_page(dim: int, k: int) -> None:
    """Crowds of rows so near to each other that float16 cannot tell them, some of them the same."""
    rng = np.random.default_rng(dim)
    centers = rng.normal(size=(20, dim))
    rows = centers[rng.integers(0, 20, 1000)] + rng.normal(size=(1000, dim)) * rng.choice([0, 1e-5, 1e-3], (1000, 1))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    query = (centers[0] / np.linalg.norm(centers[0])).astype(np.float32)
    index = ExactIndex.build(dim, [(np.arange(1, 1001), rows)])
    order = sorted(range(1, 1001), key=lambda id_: (-float(rows[id_ - 1] @ query), id_))
    assert index.search(query[np.newaxis], 1000).ids[0].tolist() != order
    found, last = [], None
    while len(found) < 300:
        near = candidates(rank(index, query, len(found) + k, None), k, dim, last)
        page = ranked({id_: rows[id_ - 1] for _, id_ in near}, query, last)[:k]
        assert len(page) == k
        found += [id_ for _, id_ in page]
        last = page[-1]
    assert found == order[: len(found)]


class Guessing:
    """An index that misses the second neighbour unless it has to compare everything."""

    kind = "guessing"

    def __init__(self, inner: VectorIndex) -> None:
        self._inner = inner

    def __len__(self) -> int:
        return len(self._inner)

    def search(
        self,
        queries: Vectors,
        k: int,
        among: Ids | None = None,
        *,
        where: Sequence[Condition] = (),
        exact: bool = False,
    ) -> Neighbours:
        found = self._inner.search(queries, k + 1, among, where=where)
        missed = [] if exact or where or among is not None else [1]
        return Neighbours(*(np.delete(part, missed, axis=1)[:, :k] for part in found))

    def tells(self, asked: Condition) -> bool:
        return self._inner.tells(asked)

    def some_ids(self, count: int) -> Ids:
        return self._inner.some_ids(count)

    def contents(self, start: int, count: int) -> tuple[Ids, Vectors]:
        return self._inner.contents(start, count)


class GuessingCollection(Collection):
    around: type[Guessing] = Guessing

    def live(self, target: Target) -> tuple[VectorIndex, State]:
        index, state = super().live(target)
        return self.around(index), state


def test_exact_reaches_the_index_from_everywhere(
    searcher: Searcher, many: Path, collection: Collection, encoder: ColorEncoder
) -> None:
    guessing = GuessingCollection.open(collection.directory)
    loose = Searcher(guessing, lambda: encoder)
    query = [IdTerm(1), TextTerm("white", 0.1)]
    expected = [hit.id for hit in searcher.search(query, k=30)]
    assert [hit.id for hit in loose.search(query, k=30)] != expected
    assert [hit.id for hit in loose.search(query, k=30, exact=True)] == expected
    for sort in SORTS:
        pages = [searcher.page(query, k=30, sort=sort), loose.page(query, k=30, sort=sort, exact=True)]
        assert [hit.id for hit in pages[0].hits] == [hit.id for hit in pages[1].hits]
    client = create_app([guessing], lambda _model: encoder).test_client()
    terms = [{"image_id": 1}, {"text": "white", "weight": 0.1}]
    answers = {
        exact: client.post("/api/v1/search", json={"terms": terms, "k": 30, "exact": exact}) for exact in (True, False)
    }
    found = {exact: [hit["id"] for hit in answer.get_json()["hits"]] for exact, answer in answers.items()}
    assert found[True] == expected != found[False]
    nearest = {
        exact: client.get(f"/api/v1/images/1/similar?k=30&exact={exact}").get_json()["hits"] for exact in ("yes", "no")
    }
    assert [hit["id"] for hit in nearest["yes"]] == [hit.id for hit in searcher.by_id(1, k=30)]
    assert nearest["yes"] != nearest["no"]
    for wrong in (client.get("/api/v1/search?q=red&exact=1"), client.post("/api/v1/search", json={"exact": 1})):
        assert wrong.status_code == 400


class Coarse(Guessing):
    """An index whose scores are as wrong as they may be."""

    def search(
        self,
        queries: Vectors,
        k: int,
        among: Ids | None = None,
        *,
        where: Sequence[Condition] = (),
        exact: bool = False,
    ) -> Neighbours:
        found = self._inner.search(queries, len(self), among, where=where, exact=exact)
        wrong = rounding(queries.shape[1]) * np.random.default_rng(0).uniform(-1, 1, len(self) + 1).astype(np.float32)
        scores = found.scores + wrong[found.ids]
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Neighbours(*(np.take_along_axis(part, best, axis=1) for part in (scores, found.ids)))


class CoarseCollection(GuessingCollection):
    around = Coarse


def test_where_rows_are_gone_none_takes_the_place_of_a_nearer_one_that_the_index_left_out(
    collection: Collection, encoder: ColorEncoder
) -> None:
    rng = np.random.default_rng(0)
    rows = np.array([1, 0, 0, 0]) + rng.normal(size=(1000, 4), scale=0.05)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    images = [NewImage(FileStamp(f"/{place}", 1, 1), b"", Facts(1, 1, "PNG"), row) for place, row in enumerate(rows)]
    collection.catalog.apply(Changes(added=images))
    collection.publish()
    collection.catalog.apply(Changes(removed=list(range(1, 1001, 2))))
    searcher = Searcher(CoarseCollection.open(collection.directory), lambda: encoder)
    for place in range(100):
        order = sorted(range(2, 1001, 2), key=lambda id_: (-float(rows[id_ - 1] @ rows[place]), id_))
        hits = searcher.search([VectorTerm(rows[place])], k=10, ranking="cosine")
        assert [hit.id for hit in hits] == order[:10]
