"""Columns of facts against the same conditions in SQL, and what is found by them against brute force."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.changes import Caption, Changes, FileStamp, NewImage
from search.classify import Classifier
from search.collection import Collection
from search.exact_index import ExactIndex
from search.expression import Condition, Date
from search.fact_columns import FactColumns
from search.filters import Filter
from search.places import Near
from search.query import TextTerm
from search.searcher import Searcher
from search.types import TARGETS, Facts, Logits, Target
from search.verify import repair, verify
from search.vocabulary import Vocabulary
from tests.colors import ColorEncoder, unit_rows

CAMERAS = (None, "", "Example X100", "example x_1", "ÄRGER 100%", "ärger \\", "İx")
FORMATS = ("JPEG", "PNG", "", "Ä")
SIZES = (0, 1, 300, 400, 2**40)
TIMES = (
    None,
    datetime(1, 1, 1),
    datetime(2023, 12, 31, 23, 59, 59, 999999),
    datetime(2024, 1, 1),
    datetime(2024, 2, 29),
)


def some_facts(seed: int) -> Facts:
    chosen = random.Random(seed)
    latitude, longitude = chosen.choice([(0.0, 0.0), (90.0, 7.0), (-48.2, 180.0), (48.2, -180.0)])
    return Facts(
        chosen.choice(SIZES),
        chosen.choice(SIZES),
        chosen.choice(FORMATS),
        chosen.choice(TIMES),
        chosen.choice(CAMERAS),
        latitude=chosen.choice([None, latitude, latitude * chosen.random()]),
        longitude=chosen.choice([None, longitude, longitude * chosen.random()]),
    )


def some_image(number: int) -> NewImage:
    color = [[number * 7 % 256, number * 13 % 256, number * 29 % 256]]
    stamp = FileStamp(f"/photos/{number}.jpg", 1, 1)
    vector = unit_rows(np.array(color, float))[0]
    captions = [Caption(f"caption {place}", vector) for place in range(number % 3)]
    return NewImage(stamp, number.to_bytes(32), some_facts(number), vector, captions)


pixels = st.sampled_from([0, 1, 299, 300, 400, 2**33, 10**15 - 1])
compared = st.sampled_from([":", "<", "<=", ">", ">="])
dates = st.sampled_from(
    [Date(1), Date(2023), Date(2023, 12, 31), Date(2024), Date(2024, 2), Date(2024, 2, 29), Date(9998)]
)
degrees = st.integers(-90_000, 90_000).map(lambda number: number / 1000)
nears = st.builds(Near, degrees, degrees.map(lambda number: 2 * number), st.floats(1, 20_016))
parts = st.text(st.sampled_from("xX1%_\\ äÄİi"), min_size=1, max_size=3).filter(str.strip)
KNOWN = {
    "taken": (compared, dates),
    "width": (compared, pixels),
    "height": (compared, pixels),
    "side": (compared, pixels),
    "orientation": (st.just(":"), st.sampled_from(["landscape", "portrait", "square"])),
    "format": (st.just(":"), st.sampled_from([*FORMATS, "x"])),
    "camera": (st.just(":"), parts),
    "place": (st.just(":"), st.sampled_from(["yes", "no"])),
    "near": (st.just(":"), nears),
}
conditions = st.sampled_from(list(KNOWN)).flatmap(
    lambda field: st.builds(Condition, st.just(field), *KNOWN[field], st.booleans())
)


@pytest.mark.storages
@pytest.mark.parametrize("target", TARGETS)
def test_columns_let_through_just_what_sql_does(
    monkeypatch: pytest.MonkeyPatch, collection: Collection, tmp_path: Path, target: Target
) -> None:
    monkeypatch.setattr("search.fact_columns._SHARES", 5)
    if collection.published().policy.kind not in ("auto", "exact"):
        pytest.skip("a server has fields of its own")
    collection.catalog.apply(Changes(added=[some_image(number) for number in range(400)]))
    collection.catalog.apply(Changes(removed=[3, 400]))
    made = FactColumns.of(collection.catalog.bulk.facts(target))
    opened = FactColumns.open(tmp_path / "facts.npy", made.save(tmp_path / "facts.npy"))
    assert opened.same(made)
    collection.publish()
    index, query = collection.index(target), unit_rows(np.array([[200, 30, 90]], float))

    @settings(max_examples=150, deadline=None)
    @given(st.lists(conditions, max_size=3))
    def check(asked: list[Condition]) -> None:
        expected = collection.catalog.matching(Filter(tuple(asked), show_sensitive=True), target).tolist()
        assert all(index.tells(one) for one in asked)
        scores, found = (part[0] for part in index.search(query, len(index), where=asked))
        assert sorted(found[found >= 0].tolist()) == expected
        some = index.search(query, 3, where=asked)
        assert some.scores[0] == pytest.approx(scores[: some.ids.size])
        assert np.array_equal(opened.satisfying(asked), made.satisfying(asked))

    check()


def test_what_may_change_under_an_id_is_left_to_sql(collection: Collection) -> None:
    collection.catalog.apply(Changes(added=[some_image(1)]))
    collection.publish()
    for target in TARGETS:
        asked = Filter.parse("width>=1 folder:/photos tag:dog").conditions
        assert [collection.index(target).tells(one) for one in asked] == [True, False, False]


def test_a_search_under_a_filter_is_that_of_brute_force_whatever_happened(
    collection: Collection, searcher: Searcher, encoder: ColorEncoder
) -> None:
    """Images come, go, move, get tags and are published in any order."""
    chosen, images = random.Random(0), [some_image(number) for number in range(120)]
    catalog, labels = collection.catalog, encoder.encode_texts(["red", "blue"])
    published: set[int] = set()
    where = [Filter.parse(text) for text in ("width>=300", "-camera:x", "camera:x100 format:jpeg", "taken<2024 side>0")]
    for _ in range(60):
        there = sorted(known.id for known in catalog.known_files("/").values())
        match chosen.choice(["come", "go", "move", "tag", "publish", "ask", "ask", "ask"]):
            case "come" if images:
                catalog.apply(Changes(added=[images.pop() for _ in range(min(9, len(images)))]))
            case "go" if there:
                catalog.apply(Changes(removed=chosen.sample(there, min(3, len(there)))))
            case "move" if there:
                catalog.apply(Changes(restamped={there[0]: FileStamp(f"/moved/{chosen.random()}", 1, 1)}))
            case "tag":
                classifier = Classifier(("warm", "cold"), labels, Logits(20.0))
                sensitive = np.array([False, chosen.random() < 0.5])
                collection.tag(Vocabulary(classifier, np.full(2, 0.6, np.float32), sensitive))
            case "publish":
                collection.publish()
                published = {known.id for known in catalog.known_files("/").values()}
            case "ask":
                for asked in where:
                    expected = set(catalog.matching(asked, "images").tolist()) & published
                    rows = catalog.stored("images", sorted(expected))
                    query = encoder.encode_texts(["red"])[0]
                    order = sorted(expected, key=lambda id_: (-float(rows[id_] @ query), id_))
                    hits = searcher.search([TextTerm("red")], k=5, where=asked, ranking="cosine")
                    assert [hit.id for hit in hits] == order[:5]
    assert published


def test_a_publication_of_an_older_release_has_no_columns_and_filters_the_same(
    collection: Collection, searcher: Searcher
) -> None:
    collection.catalog.apply(Changes(added=[some_image(number) for number in range(30)]))
    collection.publish()
    asked = Filter.parse("width>=300")
    found = [hit.id for hit in searcher.search([TextTerm("red")], where=asked)]
    known = collection.published()
    del known.seals["facts"]
    state = collection.catalog.state()
    collection.catalog.publish(state.generation, state.published_changes, known.to_dict())
    collection.reopen()
    assert not any(collection.index("images").tells(one) for one in asked.conditions)
    assert [hit.id for hit in searcher.search([TextTerm("red")], where=asked)] == found
    assert verify(collection).clean


def test_verify_finds_and_repair_makes_again_columns_of_other_facts(collection: Collection) -> None:
    collection.catalog.apply(Changes(added=[some_image(number) for number in range(3)]))
    collection.publish()
    index = collection.index("images")
    assert isinstance(index, ExactIndex)
    other = Facts(1, 1, "PNG", datetime(2024, 1, 1) + timedelta(1))
    rows = [(id_, *(getattr(other, name) for name in ("width", "height"))) for id_ in (1, 2, 3)]
    columns = FactColumns.of([[(*row, other.taken_at, None, None, other.format, None) for row in rows]])
    known, state = collection.published(), collection.catalog.state()
    known.seals["facts"] = columns.save(collection.index_file("facts", state.generation))
    collection.catalog.publish(state.generation, state.published_changes, known.to_dict())
    findings = verify(collection)
    assert "other facts" in findings.indexes[0]
    repair(collection, findings)
    assert verify(collection).clean
