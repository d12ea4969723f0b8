"""Filters against the same conditions in plain Python, and searches under them against brute force."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import BadFilter
from search.exact_index import ExactIndex
from search.filters import Filter
from search.places import great_circle_m
from search.query import TextTerm
from search.searcher import Searcher
from search.types import Facts, Root
from tests.colors import unit_rows

pytestmark = pytest.mark.storages

FACTS = {
    "/photos/trip/a.jpg": Facts(
        400, 300, "JPEG", datetime(2024, 6, 21, 12), "Example X100", latitude=60.0, longitude=24.0
    ),
    "/photos/trip/b.png": Facts(300, 400, "PNG", datetime(2024, 7, 1), "example y_1"),
    "/photos/trips/c.jpg": Facts(200, 200, "JPEG", datetime(2023, 12, 31, 23, 59)),
    "/photos/d.webp": Facts(1000, 90, "WEBP"),
    "/other/trip/e.jpg": Facts(640, 480, "JPEG", datetime(2024, 6, 30, 23, 59, 59), "Example X100"),
    "/photos/trip/unknown": Facts(0, 0, ""),
    "/photos/trip/imported": Facts(0, 400, "", latitude=10.0),
    "/photos/trip/imported too": Facts(400, 0, "", longitude=10.0),
}

CASES: list[tuple[str, Callable[[str, Facts], bool]]] = [
    ("folder:trip", lambda path, _: "/trip/" in path),
    ("folder:/photos/trip/", lambda path, _: path.startswith("/photos/trip/")),
    ("folder:/photos", lambda path, _: path.startswith("/photos/")),
    ("folder:nowhere", lambda *_: False),
    ("format:.jpg", lambda _, facts: facts.format == "JPEG"),
    ("orientation:landscape", lambda _, facts: facts.width > facts.height > 0),
    ("orientation:portrait", lambda _, facts: 0 < facts.width < facts.height),
    ("orientation:square", lambda _, facts: facts.width == facts.height > 0),
    ("width:300", lambda _, facts: facts.width == 300),
    ("width>=300", lambda _, facts: facts.width >= 300),
    ("height>300", lambda _, facts: facts.height > 300),
    ("width<300", lambda _, facts: 0 < facts.width < 300),
    ("height<=300", lambda _, facts: 0 < facts.height <= 300),
    ("side>=300", lambda _, facts: min(facts.width, facts.height) >= 300),
    ("side<200", lambda _, facts: 0 < min(facts.width, facts.height) < 200),
    ("side>=1", lambda _, facts: min(facts.width, facts.height) > 0),
    ("camera:x100", lambda _, facts: "x100" in (facts.camera or "").lower()),
    ("camera:_", lambda _, facts: "_" in (facts.camera or "")),
    ('camera:"example x"', lambda _, facts: "example x" in (facts.camera or "").lower()),
    ("place:yes", lambda _, facts: facts.latitude is not None and facts.longitude is not None),
    ("place:no", lambda _, facts: facts.latitude is None or facts.longitude is None),
    ("near:60.1,24,12km", lambda _, facts: facts.latitude == 60.0),
    ("near:60.1,24,11km", lambda *_: False),
    ("taken:2024-06", lambda _, facts: (moment := facts.taken_at) is not None and f"{moment:%Y-%m}" == "2024-06"),
    ("taken>=2024-06-30", lambda _, facts: f"{facts.taken_at or ''}" >= "2024-06-30"),
    ("taken>2024-06", lambda _, facts: f"{facts.taken_at or ''}" >= "2024-07"),
    ("taken<=2023", lambda _, facts: "" < f"{facts.taken_at or ''}" < "2024"),
    ("taken<2024-06-30", lambda _, facts: "" < f"{facts.taken_at or ''}" < "2024-06-30"),
    (
        "folder:trip format:JPEG side>=400",
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
            vector=unit_rows(np.full((1, 3), 50.0 * place))[0],
        )
        for place, (path, facts) in enumerate(FACTS.items())
    ]
    collection.catalog.apply(Changes(added=images))
    collection.publish()
    return {path: known.id for path, known in collection.catalog.known_files("/").items()}


@pytest.mark.parametrize(("where", "holds"), CASES)
def test_a_filter_lets_through_just_the_rows_that_satisfy_it(
    collection: Collection, ids: dict[str, int], where: str, holds: Callable[[str, Facts], bool]
) -> None:
    expected = sorted(ids[path] for path, facts in FACTS.items() if holds(path, facts))
    assert collection.catalog.matching(Filter.parse(where), "images").tolist() == expected


@pytest.mark.parametrize("where", [where for where, _ in CASES if " " not in where])
def test_a_negated_condition_lets_through_all_others(collection: Collection, ids: dict[str, int], where: str) -> None:
    matching, others = (
        set(collection.catalog.matching(Filter.parse(text), "images").tolist()) for text in (where, f"-{where}")
    )
    assert others == set(ids.values()) - matching


def test_a_search_under_a_filter_gives_the_k_best_of_those_that_satisfy_it(
    searcher: Searcher, ids: dict[str, int]
) -> None:
    for where, holds in CASES:
        nearest = [hit.path for hit in searcher.by_text("white", k=len(FACTS))]
        expected = [path for path in nearest if holds(str(path), FACTS[str(path)])]
        hits = searcher.page([TextTerm("white")], k=2, where=Filter.parse(where)).hits
        assert [hit.path for hit in hits] == expected[:2]


def test_what_a_filter_says_reaches_sql_as_a_value(collection: Collection, ids: dict[str, int]) -> None:
    for value in ("x') OR 1=1 --", "%", "'; DROP TABLE images; --", "\\"):
        quoted = '"' + value.replace("\\", "\\\\") + '"'
        for field in ("camera", "folder", "format"):
            assert not len(collection.catalog.matching(Filter.parse(f"{field}:{quoted}"), "images"))
    assert len(collection.catalog.paths()) == len(FACTS)


def test_a_folder_is_found_below_any_of_very_many(collection: Collection, ids: dict[str, int]) -> None:
    collection.catalog.follow([*(Root(f"/photos/{number}") for number in range(2_000)), Root("/photos")])
    roots = collection.catalog.state().roots
    for where in ("folder:trip", "-folder:trip"):
        found = collection.catalog.matching(Filter.parse(where), "images")
        expected = [ids[path] for path in ids if path.startswith("/photos/trip/") is not where.startswith("-")]
        assert found.tolist() == sorted(expected)
        assert collection.catalog.matching_among(Filter.parse(where), "images", roots, found.tolist()) == set(expected)


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_a_folder_is_found_however_its_accents_are_spelled(collection: Collection, stored: str, typed: str) -> None:
    root = "/photos"
    collection.catalog.follow([Root(root)])
    folder = unicodedata.normalize(stored, "Mädchen/in Žilina")
    image = NewImage(
        FileStamp(f"{root}/{folder}/a.jpg", size_bytes=1, mtime_ns=1),
        bytes(32),
        Facts(1, 1, "JPEG"),
        unit_rows(np.eye(3))[0],
    )
    collection.catalog.apply(Changes(added=[image]))
    asked = unicodedata.normalize(typed, folder)
    for where in (f'folder:"{asked}"', f'folder:"{root}/{asked}"'):
        assert len(collection.catalog.matching(Filter.parse(where), "images")) == 1
        assert not len(collection.catalog.matching(Filter.parse(f"-{where}"), "images"))


def test_a_filter_has_no_more_conditions_than_databases_take(collection: Collection, ids: dict[str, int]) -> None:
    for word in ("folder:/photos", "-folder:/nowhere", "width>=1"):
        assert len(collection.catalog.matching(Filter.parse(f"{word} " * 100), "images"))
    with pytest.raises(BadFilter, match="101 conditions; a filter may have up to 100"):
        Filter.parse("width>=1 " * 101)


def test_texts_are_filtered_by_their_image(collection: Collection, photos: Path, index: Callable[..., object]) -> None:
    (photos / "red.txt").write_text("one\ntwo\n")
    (photos / "trip" / "blue.txt").write_text("three\n")
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    found = collection.catalog.texts(collection.catalog.matching(Filter.parse("folder:trip"), "texts").tolist())
    assert [text.text for text in found.values()] == ["three"]


def test_the_index_finds_the_same_among_some_ids_as_brute_force_does() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5_000, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = np.sort(rng.permutation(10_000)[:5_000]).astype(np.int64)
    index = ExactIndex.build(16, [(ids, rows)])
    held = index.contents(0, len(ids))[1]
    for chosen in (rng.random(5_000) < 0.5, rng.random(5_000) < 0.21, rng.random(5_000) < 0.001, rows @ rows[0] < 0):
        order = np.argsort(-(held[chosen] @ rows[0]))[:5]
        found = index.search(rows[:1], 5, ids[chosen]).ids[0]
        assert [id_ for id_ in found.tolist() if id_ >= 0] == ids[chosen][order].tolist()
    assert index.search(rows[:1], 5, np.array([], np.int64)).ids.tolist() == [[-1]]
    assert index.search(rows[:1], 5, np.array([10_001], np.int64)).ids.tolist() == [[-1]]


def test_what_is_near_is_found_wherever_on_the_earth(collection: Collection) -> None:
    """Against the angle between vectors from the center of the earth."""
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(-90, 90, 400), rng.uniform(-180, 180, 400)], axis=1)
    places[:50] = rng.normal((48.2, 16.37), 0.1, (50, 2))
    places[50:60, 0], places[60:70, 1] = (-90, 90) * 5, (-180, 180) * 5
    vectors = unit_rows(np.full((1, 3), 50.0))
    facts = [Facts(1, 1, "PNG", latitude=north, longitude=east) for north, east in places.tolist()]
    images = [NewImage(FileStamp(f"/{number}", 1, 1), bytes(32), some, vectors[0]) for number, some in enumerate(facts)]
    collection.catalog.apply(Changes(added=images))
    for center in [(48.2, 16.37), (90, 0), (-90, 77), (0, 180), (0, -180), (-33.5, 179.9), *places[::40].tolist()]:
        angles = angles_between(places, np.array(center))
        for radius_km in (1, 10, 500, 5_000, 12_000, 20_016):
            near = Filter.parse(f"near:{center[0]},{center[1]},{radius_km}km")
            expected = np.flatnonzero(angles * 6371.0088 <= radius_km) + 1
            assert collection.catalog.matching(near, "images").tolist() == expected.tolist()


@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 1e-225, 1e-160, 1e-99, 1e-17])
def test_no_degree_is_too_small(collection: Collection, tiny: float) -> None:
    vectors = unit_rows(np.full((1, 3), 50.0))
    places = [(0, 0), (tiny, tiny), (0, -tiny), (90, tiny), (-90, 0)]
    images = [
        NewImage(FileStamp(f"/{number}", 1, 1), bytes(32), Facts(1, 1, "PNG", latitude=north, longitude=east), *vectors)
        for number, (north, east) in enumerate(places)
    ]
    collection.catalog.apply(Changes(added=images))
    for north, east in [*places, (-tiny, 1), (90, 180)]:
        for radius_m in (1e-9, 1, 200_000, 20_016_000):
            near = Filter.parse(f"near:{north},{east},{radius_m}m")
            meters = [great_circle_m(*place, north, east) for place in places]
            expected = [number for number, far in enumerate(meters, 1) if far <= radius_m]
            assert collection.catalog.matching(near, "images").tolist() == expected


def test_a_place_of_which_half_is_known_is_not_near(collection: Collection) -> None:
    vectors = unit_rows(np.full((1, 3), 50.0))
    half = NewImage(FileStamp("/half", 1, 1), bytes(32), Facts(1, 1, "PNG", latitude=48.2), vectors[0])
    collection.catalog.apply(Changes(added=[half]))
    assert not len(collection.catalog.matching(Filter.parse("near:48.2,16.37,20016km"), "images"))
    assert len(collection.catalog.matching(Filter.parse("-near:48.2,16.37,20016km"), "images")) == 1


def angles_between(places: np.ndarray, center: np.ndarray) -> np.ndarray:
    points, point = (
        np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)
        for north, east in (np.radians(places.T), np.radians(center))
    )
    return np.arctan2(np.linalg.norm(np.cross(points, point), axis=-1), points @ point)


def test_only_a_filter_without_conditions_is_empty() -> None:
    assert Filter().is_empty
    assert Filter(show_sensitive=True).is_empty
    assert not Filter.parse("place:no").is_empty


def test_so_many_folders_that_no_database_answers_are_refused(collection: Collection) -> None:
    collection.catalog.follow([Root(f"/photos/{number}") for number in range(50)])
    where = " ".join(f"-folder:a{number}" for number in range(60))
    with pytest.raises(BadFilter, match="60 folders below each of 50 followed ones"):
        collection.catalog.matching(Filter.parse(where), "images")


@pytest.mark.parametrize("text", ["format:.", "format:..."])
def test_a_format_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(BadFilter, match="is no format"):
        Filter.parse(text)
