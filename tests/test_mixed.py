"""Pictures and texts together: pages that follow each other without gap or double, in each target's own order."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from search.calibrate import MATCH
from search.collection import Collection
from search.errors import BadQuery
from search.filters import Filter
from search.mixed import page
from search.paging import Sort
from search.query import TextTerm
from search.ranking import Cursor, Cursors, read_cursor
from search.searcher import Searcher
from search.types import TARGETS, Hit, Target, Wanted
from tests.colors import COLORS, ColorEncoder
from tests.conftest import Build, paint
from web.app import create_app

QUERY = [TextTerm("a red thing")]
NO_FILTER = Filter()


def both(searcher: Searcher, k: int, after: Cursor | Cursors | None = None) -> list[Hit]:
    return page(searcher, QUERY, k=k, target="both", where=NO_FILTER, after=after).hits


def alone(searcher: Searcher, target: Target) -> list[int]:
    return [hit.id for hit in searcher.page(QUERY, k=1000, target=target).hits]


@pytest.fixture
def few(index: Build, photos: Path) -> None:
    (photos / "red.txt").write_text("something red\nred and white\n")
    index(photos)


@pytest.fixture
def many(tmp_path: Path, index: Build) -> None:
    """So many of each that strengths can be told."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(8):
        for color in COLORS:
            paint(folder / f"{color}-{number}.png", color, (8 + number, 8))
            (folder / f"{color}-{number}.txt").write_text(f"{number} {color} and {list(COLORS)[number]}\n")
    index(folder)


@pytest.mark.usefixtures("few")
def test_where_strengths_cannot_be_told_pictures_and_texts_take_turns(searcher: Searcher) -> None:
    assert [hit.target for hit in both(searcher, 10)] == ["images", "texts", "images", "texts", "images"]


@pytest.mark.usefixtures("many")
def test_each_target_keeps_its_order_and_the_stronger_comes_first(searcher: Searcher) -> None:
    hits = both(searcher, 1000)
    for target in TARGETS:
        assert [hit.id for hit in hits if hit.target == target] == alone(searcher, target)
    heads = {target: next(hit for hit in hits if hit.target == target) for target in TARGETS}
    assert hits[0] == max(heads.values(), key=lambda hit: hit.strength or 0)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("k", [1, 7, 100])
def test_pages_follow_each_other_without_gap_or_double(searcher: Searcher, k: int) -> None:
    found: list[Hit] = []
    after: Cursor | Cursors | None = None
    while True:
        one = page(searcher, QUERY, k=k, target="both", where=NO_FILTER, after=read_cursor(str(after or "")))
        found += one.hits
        if (after := one.next) is None:
            break
        assert len(one.hits) == k
    assert len({(hit.target, hit.id) for hit in found}) == len(found) == 128
    if k > 1:  # a page of one knows nothing of what comes after it
        assert found == both(searcher, 1000)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("k", range(1, 12))
def test_the_first_page_says_whether_one_of_its_hits_is_a_match(searcher: Searcher, k: int) -> None:
    first = page(searcher, QUERY, k=k, target="both", where=NO_FILTER)
    assert first.matched is any((hit.strength or 0) >= MATCH for hit in first.hits)
    further = page(searcher, QUERY, k=k, target="both", where=NO_FILTER, after=first.next)
    assert further.matched is None


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("target", "after", "sort", "group"),
    [
        ("both", Cursor(1, 1), "relevance", False),
        ("images", Cursors(Cursor(1, 1), None), "relevance", False),
        ("both", None, "newest", False),
        ("both", None, "relevance", True),
    ],
)
def test_what_does_not_go_together_is_refused(
    searcher: Searcher, target: Wanted, after: Cursor | Cursors | None, sort: Sort, group: bool
) -> None:
    with pytest.raises(BadQuery, match=r"of the page before|leave sort, group"):
        page(searcher, QUERY, k=1, target=target, where=NO_FILTER, sort=sort, group=group, after=after)


@pytest.mark.parametrize("text", ["_x", "1.1_2.2_3.3", "1.1_0.1"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="is no cursor"):
        read_cursor(text)


@pytest.mark.usefixtures("many")
def test_the_api_pages_through_both(collection: Collection, encoder: ColorEncoder) -> None:
    client: FlaskClient = create_app([collection], lambda _: encoder).test_client()
    first = client.get("/api/v1/search?q=red&target=both&k=5").get_json()
    assert first["target"] == "both"
    second = client.get(f"/api/v1/search?q=red&target=both&k=5&after={first['next']}").get_json()
    ids = [(hit["target"], hit["id"]) for hit in first["hits"] + second["hits"]]
    assert len(set(ids)) == 10
    assert client.get("/api/v1/search?q=red&target=both&sort=newest").status_code == 400


@pytest.mark.usefixtures("few")
def test_they_take_turns_over_pages_of_odd_length(searcher: Searcher) -> None:
    for k in (1, 3):
        hits: list[Hit] = []
        after = None
        while len(hits) < 5:
            found = page(searcher, QUERY, k=k, target="both", where=NO_FILTER, after=after)
            hits, after = [*hits, *found.hits], found.next
        assert [hit.target for hit in hits] == ["images", "texts", "images", "texts", "images"]
