"""Tags against softmax written out over the stored vectors; what is hidden against brute force."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from search.changes import Caption, Changes, FileStamp, NewImage
from search.classify import Classifier, make_classifier
from search.collection import Collection
from search.errors import BadQuery
from search.filters import Filter
from search.prompts import Label
from search.query import IdTerm, TextTerm, VectorTerm
from search.searcher import Searcher
from search.selectivity import MANY
from search.types import Facts, Logits, Root
from search.vocabulary import Vocabulary, make_vocabulary
from tests.colors import ColorEncoder
from tests.conftest import Build, paint

pytestmark = pytest.mark.storages

LABELS = [Label("red"), Label("green", threshold=0.3), Label("sky", ("blue", "a blue one")), Label("grass", ("green",))]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def tags_of(collection: Collection) -> dict[str, dict[str, float]]:
    """File name -> the probabilities of its tags by name, most probable first."""
    ids = {Path(path).name: known.id for path, known in collection.catalog.known_files("/").items()}
    found = collection.catalog.tags.of(list(ids.values()))
    return {name: {tag.name: tag.probability for tag in found.get(id_, ())} for name, id_ in ids.items()}


def test_a_tag_is_a_label_whose_probability_reaches_its_threshold(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    paint(photos / "yellow.png", "yellow")
    index(photos)
    collection.tag(make_vocabulary(encoder, LABELS, ["a {}", "{}"], threshold=0.25))
    found, encoded = tags_of(collection), encoder.encoded
    texts = encoder.encode_texts(["red", "green", "blue", "green"])
    for path, known in collection.catalog.known_files("/").items():
        vector = collection.catalog.stored("images", [known.id])[known.id].astype(np.float64)
        probabilities = softmax(10 * (vector @ texts.T)[np.newaxis])[0]
        reached = {
            label.name: p for label, p in zip(LABELS, probabilities, strict=True) if p >= (label.threshold or 0.25)
        }
        assert found[Path(path).name] == pytest.approx(reached, abs=1e-5)
        assert list(found[Path(path).name].values()) == sorted(found[Path(path).name].values(), reverse=True)
    assert found["red.png"].keys() == {"red"}
    assert encoder.encoded == encoded


def test_prompts_of_a_label_stand_in_place_of_the_templates(encoder: ColorEncoder) -> None:
    classifier = make_classifier(encoder, ["red", Label("sky", ("blue", "white"))], ["{}", "the {}"])
    mean = encoder.encode_texts(["blue", "white"]).mean(axis=0)
    np.testing.assert_allclose(classifier.vectors[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(classifier.vectors[0], encoder.encode_texts(["red"])[0], atol=1e-6)


@pytest.mark.parametrize("rows_at_once", [1, 3, 1000])
def test_blocks_give_what_all_rows_at_once_give(monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    rng = np.random.default_rng(0)
    rows, labels = unit(rng.standard_normal((50, 8))), unit(rng.standard_normal((7, 8)))
    names = tuple("abcdefg")
    vocabulary = Vocabulary(Classifier(names, labels, Logits(20.0)), np.full(7, 0.2, np.float32), np.zeros(7, bool))
    monkeypatch.setattr("search.vocabulary._PROBABILITIES_AT_ONCE", rows_at_once * 7)
    expected = softmax(20 * rows @ labels.T)
    found = list(vocabulary.tag(rows))
    assert len(found) == -(-50 // rows_at_once)
    places = np.concatenate([tagged.rows for tagged in found]), np.concatenate([tagged.labels for tagged in found])
    assert list(zip(*places, strict=True)) == list(zip(*np.nonzero(expected >= 0.2), strict=True))
    probabilities = np.concatenate([tagged.probabilities for tagged in found])
    np.testing.assert_allclose(probabilities, expected[places], atol=1e-5)


def test_tagging_again_replaces_the_tags_and_clearing_leaves_none(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    collection.tag(make_vocabulary(encoder, [Label("red"), Label("green", sensitive=True)], ["{}"], threshold=0.6))
    assert tags_of(collection)["red.png"].keys() == {"red"}
    assert len(collection.catalog.tags.hidden("images")) == 1
    collection.tag(make_vocabulary(encoder, [Label("sky", ("blue",)), Label("red")], ["{}"], threshold=0.6))
    assert {name: list(tags) for name, tags in tags_of(collection).items()} == {
        "red.png": ["red"],
        "green.bmp": [],
        "blue.webp": ["sky"],
    }
    assert collection.catalog.tags.hidden("images") == frozenset()
    collection.catalog.tags.clear()
    assert not any(tags_of(collection).values())
    assert collection.catalog.tags.vocabulary() is None


def test_a_build_tags_what_is_new_before_it_can_be_found_without_the_text_tower(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, searcher: Searcher
) -> None:
    index(photos)
    collection.tag(make_vocabulary(encoder, [Label("red"), Label("green", sensitive=True)], ["{}"], threshold=0.6))
    before, texts = tags_of(collection), list(encoder.texts)
    paint(photos / "grass.png", "green", (9, 9))
    paint(photos / "wall.png", "red", (9, 9))
    (photos / "red.png").rename(photos / "moved.png")
    index(photos)
    assert encoder.texts == texts
    after = tags_of(collection)
    assert after.pop("grass.png").keys() == {"green"}
    assert after.pop("wall.png").keys() == {"red"}
    assert after == {"moved.png" if name == "red.png" else name: tags for name, tags in before.items()}
    assert {hit.path.name for hit in searcher.by_text("green")} == {"moved.png", "wall.png", "blue.webp"}


def test_tags_go_with_their_image(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> None:
    index(photos)
    collection.tag(make_vocabulary(encoder, [Label("red"), Label("green")], ["{}"]))
    (photos / "red.png").unlink()
    index(photos)
    assert sum(count.images for count in collection.catalog.tags.counts() if count.name == "red") == sum(
        "red" in tags for tags in tags_of(collection).values()
    )
    assert collection.catalog.damage() == []


def test_a_tagging_that_fails_leaves_the_tags_as_they_were(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    collection.tag(make_vocabulary(encoder, LABELS, ["{}"]))
    before = tags_of(collection)
    other = make_vocabulary(encoder, [Label("blue"), Label("white")], ["{}"])
    narrow = Vocabulary(
        Classifier(other.classifier.labels, other.classifier.vectors[:, :3], other.classifier.logits),
        other.thresholds,
        other.sensitive,
    )
    with pytest.raises(ValueError, match="matmul"):
        collection.tag(narrow)
    assert tags_of(collection) == before


@pytest.mark.parametrize(
    ("labels", "threshold", "told"),
    [
        ([], 0.2, "0 labels; probabilities are shares"),
        (["red"], 0.2, "1 labels"),
        (["red", "red"], 0.2, "'red' is there twice"),
        (["red", "a, b"], 0.2, "'a, b' has a comma"),
        (["red", " "], 0.2, "an empty label"),
        (["red", "green"], 0.0, "a threshold is 0; it may be from 0.01 to 1"),
        (["red", "green"], float("nan"), "a threshold is nan"),
        (["red", "green"], 1.5, "a threshold is 1.5"),
    ],
)
def test_labels_that_cannot_be_tags_are_refused(
    encoder: ColorEncoder, labels: list[str], threshold: float, told: str
) -> None:
    with pytest.raises(BadQuery, match=re.escape(told)):
        make_vocabulary(encoder, [Label(name) for name in labels], ["{}"], threshold=threshold)


COUNT = 400


@pytest.fixture
def crowd(collection: Collection) -> np.ndarray:
    """The unit rows of 400 images without files, each with a caption of the same vector; the ids are 1 to 400.

    Of these, 1 to 200 lie around the direction of "sensitive", which they have as a sensitive tag.
    """
    rng = np.random.default_rng(3)
    middle = np.array([[1, 0, 0, 0]] * 200 + [[0, 1, 0, 0]] * 200)
    rows = unit(middle + rng.normal(scale=0.3, size=(COUNT, 4)))
    images = [
        NewImage(
            FileStamp(f"/photos/{number:03}.jpg", 1, 1),
            number.to_bytes(32),
            Facts(100 + number, 200, "JPEG"),
            row,
            [Caption(f"number {number}", row)],
        )
        for number, row in enumerate(rows)
    ]
    collection.catalog.apply(Changes(added=images))
    labels = Classifier(("bad", "good"), np.eye(4, dtype=np.float32)[:2], Logits(100.0))
    collection.tag(Vocabulary(labels, np.full(2, 0.5, np.float32), np.array([True, False])))
    collection.publish()
    return rows.astype(np.float32)


@pytest.mark.parametrize("target", ["images", "texts"])
@pytest.mark.parametrize("where", ["", "side>=150", "tag:good", "tag:bad", "tag:good side>=150"])
@pytest.mark.parametrize("show", [False, True])
@pytest.mark.parametrize(("k", "many"), [(1, MANY), (1, 0), (7, 0), (150, MANY), (150, 0), (300, 0)])
def test_a_search_gives_the_k_best_of_those_that_are_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
    searcher: Searcher,
    crowd: np.ndarray,
    target: str,
    where: str,
    show: bool,
    k: int,
    many: int,
) -> None:
    """Around the hidden ones, so that hundreds of neighbours are left out; by both plans."""
    monkeypatch.setattr("search.selectivity.MANY", many)
    bad = crowd[:, 0] >= crowd[:, 1]
    assert 150 < bad.sum() < 250
    allowed = np.ones(COUNT, bool) if show else ~bad
    if "tag" in where:
        allowed &= bad if where == "tag:bad" else ~bad
    if "side" in where:
        allowed &= np.arange(COUNT) + 100 >= 150
    asked = Filter.parse(where, show_sensitive=show)
    query = np.array([1, 0.2, 0.1, 0], np.float32)
    scores = np.where(allowed, crowd @ (query / np.linalg.norm(query)), -np.inf)
    best = -np.sort(-scores)[: min(k, allowed.sum())]
    hits = searcher.search([VectorTerm(query)], k=k, target=target, where=asked)
    found = [hit.image_id for hit in hits]
    assert len(set(found)) == len(best)
    assert scores[np.array(found, int) - 1] == pytest.approx(best, abs=1e-6)
    paged, after = [], None
    while len(paged) < k:
        page = searcher.page([VectorTerm(query)], k=41, target=target, where=asked, after=after)
        paged += [hit.image_id for hit in page.hits]
        if (after := page.next) is None:
            break
    assert paged[:k] == found


def test_what_was_many_and_is_few_since_is_found(
    monkeypatch: pytest.MonkeyPatch, collection: Collection, searcher: Searcher, crowd: np.ndarray
) -> None:
    """A searcher keeps how much matched; files move, and no generation tells."""
    monkeypatch.setattr("search.selectivity.MANY", 0)
    collection.catalog.follow([Root("/photos"), Root("/other")])
    query, elsewhere = VectorTerm(crowd[0]), list(range(1, COUNT - 5))

    def found() -> list[int]:
        where = Filter.parse("folder:/photos", show_sensitive=True)
        return [hit.id for hit in searcher.search([query], k=10, where=where)]

    assert len(found()) == 10
    moved = {number: FileStamp(f"/other/{number}.jpg", 1, 1) for number in elsewhere}
    collection.catalog.apply(Changes(restamped=moved))
    assert sorted(found()) == sorted(set(range(1, COUNT + 1)) - set(elsewhere))


@pytest.mark.parametrize("target", ["images", "texts"])
@pytest.mark.parametrize("show", [False, True])
def test_sql_finds_the_images_with_a_tag_among_all_and_among_some(
    collection: Collection, crowd: np.ndarray, target: str, show: bool
) -> None:
    bad = crowd[:, 0] >= crowd[:, 1]
    large = np.arange(COUNT) + 100 >= 150
    for where, holds in {
        "tag:bad": bad,
        "-tag:bad": ~bad,
        "tag:good -tag:bad": ~bad,
        "tag:good tag:bad": bad & ~bad,
        "-tag:good -tag:bad": bad & ~bad,
        "tag:good side>=150": ~bad & large,
        "side>=150 -tag:good": bad & large,
        "folder:/nowhere tag:bad": bad & ~bad,
    }.items():
        asked = Filter.parse(where, show_sensitive=show)
        expected = np.flatnonzero(holds if show else holds & ~bad) + 1
        assert collection.catalog.matching(asked, target).tolist() == expected.tolist()
        some = np.arange(1, COUNT + 50, 3)
        among = collection.catalog.matching_among(asked, target, collection.catalog.state().roots, some.tolist())
        assert among == set(np.intersect1d(expected, some).tolist())


def test_several_tags_are_all_wanted(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, searcher: Searcher
) -> None:
    paint(photos / "yellow.png", "yellow")
    index(photos)
    collection.tag(make_vocabulary(encoder, [Label("red"), Label("green"), Label("blue")], ["{}"], threshold=0.3))
    hits = searcher.search([TextTerm("white")], where=Filter.parse("tag:red tag:green"))
    assert [hit.path.name for hit in hits] == ["yellow.png"]
    with pytest.raises(BadQuery, match=r"the tag 'nothing'; there are: red, green, blue$"):
        searcher.search([TextTerm("white")], where=Filter.parse("tag:red -tag:nothing"))
    collection.catalog.tags.clear()
    with pytest.raises(BadQuery, match="the tag 'red'; none has one until python -m indexer tag"):
        searcher.search([TextTerm("white")], where=Filter.parse("tag:red"))


def test_a_hidden_image_may_be_asked_with(searcher: Searcher, crowd: np.ndarray) -> None:
    hidden = int(np.argmax(crowd[:, 0])) + 1
    hits = searcher.search([IdTerm(hidden)], k=5)
    assert hits
    assert not searcher.collection.catalog.tags.hidden("images") & {hit.id for hit in hits}


def test_without_a_sensitive_tag_a_search_asks_the_catalog_nothing_more(
    collection: Collection, photos: Path, index: Build, encoder: ColorEncoder, searcher: Searcher
) -> None:
    index(photos)
    searcher.by_text("red")
    statements: list[str] = []

    @event.listens_for(collection.catalog._engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(" ".join(statement.split()))

    for labels in ((), (Label("red"), Label("green"))):
        if labels:
            collection.tag(make_vocabulary(encoder, labels, ["{}"]))
            searcher.by_text("red")
        statements.clear()
        searcher.by_text("red")
        # every search asks once whether its index is the live one, and learns whether tags changed
        assert [statement.partition(",")[0] for statement in statements if "tag" in statement] == [
            "SELECT state.changes"
        ]
