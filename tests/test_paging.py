"""Groups and diverse hits, against what comes of doing it hit by hit; pages follow each other without gap or double."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.diversity import LAMBDA, WINDOW, diversified
from search.errors import BadQuery
from search.grouping import ALIKE, REACH, groups_from, leaders
from search.index import Vectors
from search.paging import Order, Page, Ranked
from search.query import IdTerm, TextTerm, VectorTerm, unit
from search.ranking import Cursor
from search.searcher import Searcher
from search.types import Facts, Hit
from tests.colors import ColorEncoder
from tests.conftest import Build

QUERY = [VectorTerm(np.array([0.9, 0.3, 0.2, 0.3], np.float32))]


def crowd(seed: int, count: int) -> Vectors:
    """(n, 4) unit rows, many of them near to each other, by their score to QUERY."""
    rng = np.random.default_rng(seed)
    rows = rng.random((count // 4 + 1, 4))[rng.integers(0, count // 4 + 1, count)] + 0.05 * rng.random((count, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows[np.argsort(-(rows @ unit(QUERY[0].vector)), kind="stable")]


def groups_by_hand(rows: Vectors) -> list[tuple[int, list[int]]]:
    found: list[tuple[int, list[int]]] = []
    cosines = (rows @ rows.T).tolist()
    for place in range(len(rows)):
        for leader, behind in found:
            if cosines[leader][place] >= ALIKE:
                behind.append(place)
                break
        else:
            found.append((place, []))
    return found


def diverse_by_hand(scores: Vectors, rows: Vectors) -> list[int]:
    """As the formula is written, pair by pair."""
    count = min(len(rows), WINDOW)
    cosines = (rows @ rows.T).tolist()
    pairs = [cosines[a][b] for a in range(count) for b in range(count) if a != b]
    usual = sum(pairs) / len(pairs)
    order: list[int] = []
    while len(order) < count:

        def value(place: int) -> float:
            relevance = (scores[place] - scores[count - 1]) / (scores[0] - scores[count - 1])
            near = (max(cosines[place][other] for other in order) - usual) / (1 - usual) if order else 0.0
            return float(LAMBDA * relevance - (1 - LAMBDA) * near)

        order.append(max((place for place in range(count) if place not in order), key=value))
    return [*order, *range(count, len(rows))]


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_that_one_makes_by_hand(seed: int) -> None:
    rows = crowd(seed, 120)
    expected = groups_by_hand(rows)
    assert 10 < len(expected) < 100
    assert groups_from(0, leaders(rows), 1000).found == expected
    assert [place for place, leader in enumerate(leaders(rows)) if place == leader] == [at for at, _ in expected]


@pytest.mark.parametrize(("seed", "count"), [(0, 2), (1, 40), (2, 150), (3, WINDOW + 30)])
def test_diverse_hits_come_as_the_formula_says(seed: int, count: int) -> None:
    rows = crowd(seed, count)
    scores = rows @ unit(QUERY[0].vector)
    assert diversified(scores, rows) == diverse_by_hand(scores, rows)


def test_diverse_copes_with_hits_that_are_all_alike() -> None:
    rows = np.tile(np.array([[1, 0, 0, 0]], np.float32), (5, 1))
    assert sorted(diversified(np.ones(5, np.float32), rows)) == [0, 1, 2, 3, 4]
    assert diversified(np.ones(0, np.float32), rows[:0]) == []


def paint_crowd(folder: Path, count: int) -> None:
    """Pictures of similar colors."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    centers = rng.integers(30, 226, (count // 6, 3))
    for number in range(count):
        color = centers[rng.integers(0, len(centers))] + rng.integers(-20, 21, 3)
        Image.new("RGB", (8, 8), tuple(int(value) for value in color)).save(folder / f"{number:03}.png")


@pytest.fixture
def crowded(index: Build, tmp_path: Path) -> None:
    """A collection of 250 pictures."""
    paint_crowd(tmp_path / "crowd", 250)
    index(tmp_path / "crowd", keypoints=0)


def pages(searcher: Searcher, k: int, **options: bool) -> list[Page]:
    found = [searcher.page(QUERY, k=k, **options)]  # type: ignore[arg-type]
    while found[-1].next:
        found.append(searcher.page(QUERY, k=k, after=Cursor.read(str(found[-1].next)), **options))  # type: ignore[arg-type]
    return found


def ranked(searcher: Searcher) -> tuple[list[int], Vectors]:
    """All ids by rank, and their vectors, (n, dim)."""
    ids = [hit.id for hit in searcher.search(QUERY, k=1000)]
    stored = searcher.collection.catalog.stored("images", ids)
    return ids, np.stack([stored[id_].astype(np.float32) for id_ in ids])


@pytest.mark.parametrize("diverse", [False, True])
@pytest.mark.parametrize("k", [7, 1000])
def test_pages_of_groups_are_cut_out_of_the_whole_list(
    searcher: Searcher, crowded: None, k: int, diverse: bool
) -> None:
    ids, rows = ranked(searcher)
    if diverse:
        order = diverse_by_hand(rows @ unit(QUERY[0].vector), rows)
        ids, rows = [ids[place] for place in order], rows[order]
    expected = groups_by_hand(rows)
    assert 10 < len(expected) < 200
    found = pages(searcher, k, group=True, diverse=diverse)
    assert [hit.id for page in found for hit in page.hits] == [ids[leader] for leader, _ in expected]
    assert all(len(page.hits) == k for page in found[:-1])
    shown = [id_ for page in found for hit in page.hits for id_ in (hit.id, *hit.alike)]
    assert len(shown) == len(set(shown))
    if k == 1000:
        assert [hit.alike for hit in found[0].hits] == [tuple(ids[one] for one in behind) for _, behind in expected]
        assert sorted(shown) == sorted(ids)


@pytest.mark.parametrize("k", [60, 1000])
def test_pages_of_diverse_hits_have_every_hit_once(searcher: Searcher, crowded: None, k: int) -> None:
    ids, rows = ranked(searcher)
    found = [hit for page in pages(searcher, k, diverse=True) for hit in page.hits]
    assert [hit.id for hit in found] == [ids[at] for at in diverse_by_hand(rows @ unit(QUERY[0].vector), rows)]
    assert not any(hit.alike for hit in found)


def test_a_page_looks_so_far_and_no_further_and_the_next_goes_on_from_there() -> None:
    same, count = np.array([1, 0, 0, 0], np.float32), REACH + 500
    facts = Facts(1, 1, "PNG")
    ranked = [(Hit("images", place + 1, 1.0, place + 1, "a", facts), same) for place in range(count)]
    ranked.append((Hit("images", count + 1, 0.0, count + 1, "b", facts), same[::-1]))
    asked = []

    def first(wanted: int) -> list[Ranked]:
        asked.append(wanted)
        return ranked[:wanted]

    order = Order(group=True)
    ((leader, _),), after = order.page(first, same, 5, None)
    assert (leader.id, len(leader.alike)) == (1, REACH - 1)
    assert after is not None and max(asked) == REACH + 1
    ((other, _),), end = order.page(first, same, 5, after)
    assert (other.id, other.alike, end) == (count + 1, (), None), "those of the first group stay with it"


def test_groups_in_the_order_of_time_are_those_of_the_matches(searcher: Searcher, index: Build, tmp_path: Path) -> None:
    paint_crowd(tmp_path / "few", 30)  # so few that all are matches
    index(tmp_path / "few", keypoints=0)
    plain = [hit.id for hit in searcher.page(QUERY, k=1000, sort="newest").hits]
    stored = searcher.collection.catalog.stored("images", plain)
    expected = groups_by_hand(np.stack([stored[id_].astype(np.float32) for id_ in plain]))
    found = searcher.page(QUERY, k=1000, sort="newest", group=True).hits
    assert 30 == len(plain) > len(found)
    assert [(hit.id, hit.alike) for hit in found] == [
        (plain[leader], tuple(plain[one] for one in behind)) for leader, behind in expected
    ]


def test_diverse_and_an_order_of_time_exclude_each_other(searcher: Searcher, crowded: None) -> None:
    with pytest.raises(BadQuery, match="diverse goes by relevance"):
        searcher.page(QUERY, sort="newest", diverse=True)


def test_what_is_asked_by_id_is_in_no_group(searcher: Searcher, crowded: None) -> None:
    first = searcher.search(QUERY, k=1)[0].id
    page = searcher.page([IdTerm(first)], k=1000, group=True)
    assert first not in {id_ for hit in page.hits for id_ in (hit.id, *hit.alike)}


def test_templates_stand_for_a_text_by_their_mean(searcher: Searcher, index: Build, photos: Path) -> None:
    index(photos)
    encoder = ColorEncoder()
    vector = searcher.embedder.embed(TextTerm("red"), ["{} and green", "{} alone", "{}, {}"])
    rows = encoder.encode_texts(["red and green", "red alone", "red, red"])
    assert vector == pytest.approx(rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0)))
    assert searcher.page([TextTerm("red")], templates=["{} and green, green, green"]).hits[0].path.name == "green.bmp"
    with pytest.raises(BadQuery, match="does not say with"):
        searcher.page([TextTerm("red")], templates=["a photo"])
    with pytest.raises(BadQuery, match="an empty text"):
        searcher.page([TextTerm(" ")], templates=["a {}"])
