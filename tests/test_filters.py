"""Filters against the same conditions in plain Python, and searches under them against brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import BadQuery
from search.exact_index import ExactIndex
from search.filters import Filter, first_moment, moment_after
from search.query import TextTerm
from search.searcher import Searcher
from search.types import Facts, Root
from tests.colors import unit_rows

FACTS = {
    "/photos/trip/a.jpg": Facts(
        400, 300, "JPEG", datetime(2024, 6, 21, 12), "Example X100", latitude=60.0, longitude=24.0
    ),
    "/photos/trip/b.png": Facts(300, 400, "PNG", datetime(2024, 7, 1), "example y_1"),
    "/photos/trips/c.jpg": Facts(200, 200, "JPEG", datetime(2023, 12, 31, 23, 59)),
    "/photos/d.webp": Facts(1000, 90, "WEBP"),
    "/other/trip/e.jpg": Facts(640, 480, "JPEG", datetime(2024, 6, 30, 23, 59, 59), "Example X100"),
}

CASES: list[tuple[Filter, Callable[[str, Facts], bool]]] = [
    (Filter(folder="trip"), lambda path, _: "/trip/" in path),
    (Filter(folder="/photos/trip/"), lambda path, _: path.startswith("/photos/trip/")),
    (Filter(folder="/photos"), lambda path, _: path.startswith("/photos/")),
    (Filter(folder="nowhere"), lambda *_: False),
    (Filter(format="JPEG"), lambda _, facts: facts.format == "JPEG"),
    (Filter(orientation="landscape"), lambda _, facts: facts.width > facts.height),
    (Filter(orientation="portrait"), lambda _, facts: facts.width < facts.height),
    (Filter(orientation="square"), lambda _, facts: facts.width == facts.height),
    (Filter(min_side=300), lambda _, facts: min(facts.width, facts.height) >= 300),
    (Filter(camera="x100"), lambda _, facts: "x100" in (facts.camera or "").lower()),
    (Filter(camera="_"), lambda _, facts: "_" in (facts.camera or "")),
    (Filter(has_place=True), lambda _, facts: facts.latitude is not None),
    (Filter(has_place=False), lambda _, facts: facts.latitude is None),
    (
        Filter(taken_from=first_moment("2024-06"), taken_to=moment_after("2024-06")),
        lambda _, facts: facts.taken_at is not None and (facts.taken_at.year, facts.taken_at.month) == (2024, 6),
    ),
    (
        Filter(folder="trip", format="JPEG", min_side=400),
        lambda path, facts: "/trip/" in path and facts.format == "JPEG" and min(facts.width, facts.height) >= 400,
    ),
]


@pytest.fixture
def ids(collection: Collection) -> dict[str, int]:
    """The images of FACTS, made without files; each of another gray. Path -> id."""
    collection.catalog.follow([Root("/photos"), Root("/other")])
    images = [
        NewImage(
            stamp=FileStamp(path, size_bytes=1, mtime_ns=1),
            digest=bytes([place]) * 32,
            facts=facts,
            vector=unit_rows(np.full((1, 3), 50.0 * place))[0].astype(np.float16),
        )
        for place, (path, facts) in enumerate(FACTS.items())
    ]
    collection.catalog.apply(Changes(added=images))
    collection.publish()
    return {path: known.id for path, known in collection.catalog.known_files("/").items()}


@pytest.mark.parametrize(("where", "holds"), CASES)
def test_a_filter_lets_through_just_the_rows_that_satisfy_it(
    collection: Collection, ids: dict[str, int], where: Filter, holds: Callable[[str, Facts], bool]
) -> None:
    expected = sorted(ids[path] for path, facts in FACTS.items() if holds(path, facts))
    assert collection.catalog.matching(where, "images").tolist() == expected


def test_a_search_under_a_filter_gives_the_k_best_of_those_that_satisfy_it(
    searcher: Searcher, ids: dict[str, int]
) -> None:
    for where, holds in CASES:
        nearest = [hit.path for hit in searcher.by_text("white", k=len(FACTS))]
        expected = [path for path in nearest if holds(str(path), FACTS[str(path)])]
        hits = searcher.page([TextTerm("white")], k=2, where=where).hits
        assert [hit.path for hit in hits] == expected[:2]


def test_texts_are_filtered_by_their_image(collection: Collection, photos: Path, index: Callable[..., object]) -> None:
    (photos / "red.txt").write_text("one\ntwo\n")
    (photos / "trip" / "blue.txt").write_text("three\n")
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    found = collection.catalog.texts(collection.catalog.matching(Filter(folder="trip"), "texts").tolist())
    assert [text.text for text in found.values()] == ["three"]


def test_the_index_finds_the_same_among_some_ids_as_brute_force_does() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5_000, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows.astype(np.float16).astype(np.float32)
    ids = np.sort(rng.permutation(10_000)[:5_000]).astype(np.int64)
    index = ExactIndex.build(16, [(ids, rows)])
    for chosen in (rng.random(5_000) < 0.5, rng.random(5_000) < 0.21, rng.random(5_000) < 0.001, rows @ rows[0] < 0):
        order = np.argsort(-(rows[chosen] @ rows[0]))[:5]
        found = index.search(rows[:1], 5, ids[chosen]).ids[0]
        assert [id_ for id_ in found.tolist() if id_ >= 0] == ids[chosen][order].tolist()
    assert index.search(rows[:1], 5, np.array([], np.int64)).ids.tolist() == [[-1]]
    assert index.search(rows[:1], 5, np.array([10_001], np.int64)).ids.tolist() == [[-1]]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024", datetime(2024, 1, 1), datetime(2025, 1, 1)),
        ("2024-2", datetime(2024, 2, 1), datetime(2024, 3, 1)),
        ("2023-12-31", datetime(2023, 12, 31), datetime(2024, 1, 1)),
    ],
)
def test_a_date_is_a_year_a_month_or_a_day(text: str, start: datetime, end: datetime) -> None:
    assert (first_moment(text), moment_after(text)) == (start, end)


@pytest.mark.parametrize("text", ["", "today", "2024-13", "2024-02-30", "0000-01", "9999-12-31", "24-06"])
def test_what_is_no_date_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadQuery, match="is not a date"):
        moment_after(text)


def test_only_a_filter_without_fields_is_empty() -> None:
    assert Filter().is_empty
    assert not replace(Filter(), has_place=False).is_empty
