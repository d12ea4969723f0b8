"""Strengths tell matches from the merely nearest, alike for every query, and independently computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search.background import BACKGROUND_TEXTS
from search.calibrate import FEWEST, MATCH, Calibrator
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.paging import is_match
from search.query import IdTerm, TextTerm, VectorTerm
from search.searcher import Searcher
from search.types import EncoderIdentity, Facts

DIM = 64


class Space:
    """An encoder of texts alone, in a space like CLIP's: texts lie around one mean, pictures around another."""

    identity = EncoderIdentity("space", "random", "0" * 64, DIM, "none")
    context = 77

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.text_mean, self.image_mean = 0.5 * rng.standard_normal((2, DIM))
        self.calls = 0

    def subject(self, text: str) -> np.ndarray:
        return np.random.default_rng(list(text.encode())).standard_normal(DIM)

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def reads(self, texts: list[str]) -> list[bool]:
        return [True for _ in texts]

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.calls += 1
        return rows([self.text_mean + self.subject(text) for text in texts])

    def pictures(self, texts: list[str]) -> np.ndarray:
        return rows([self.image_mean + self.subject(text) for text in texts])


def rows(vectors: list[np.ndarray]) -> np.ndarray:
    stacked = np.array(vectors, np.float32)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


@pytest.fixture
def space() -> Space:
    return Space()


def filled(collection: Collection, vectors: np.ndarray) -> Collection:
    images = [
        NewImage(FileStamp(f"/{place}.jpg", 1, 1), place.to_bytes(32, "big"), Facts(1, 1, "JPEG"), vector.astype("<f4"))
        for place, vector in enumerate(vectors)
    ]
    collection.catalog.apply(Changes(added=images))
    collection.publish()
    return collection


@pytest.fixture
def shown(tmp_path: object, space: Space) -> Searcher:
    """A collection of pictures of "thing 0" to "thing 199"."""
    collection = Collection.create(tmp_path / "space", space.identity)  # type: ignore[operator]
    filled(collection, space.pictures([f"thing {number}" for number in range(200)]))
    return Searcher(collection, lambda: space)  # type: ignore[arg-type, return-value]


def test_a_text_with_a_picture_matches_and_one_without_does_not(shown: Searcher) -> None:
    there = [shown.page([TextTerm(f"thing {number}")], k=3) for number in range(50)]
    absent = [shown.page([TextTerm(f"nothing {number}")], k=3) for number in range(50)]
    assert all(page.matched and page.hits[0].path.stem == str(number) for number, page in enumerate(there))
    strongest = [max(page.hits[0].strength or 0 for page in pages) for pages in (there, absent)]
    assert strongest[0] > 0.9 > 0.6 > strongest[1]
    assert sum(page.matched is False for page in absent) > 25
    assert all(page.hits for page in absent)


def test_one_match_is_enough_whatever_comes_before_it(shown: Searcher) -> None:
    hits = shown.page([TextTerm("nothing 0")], k=3).hits
    weak, strong = (replace(hits[0], strength=strength) for strength in (MATCH - 0.01, MATCH))
    assert [is_match(some) for some in ([weak], [weak, strong], [strong, weak])] == [False, True, True]


@pytest.mark.parametrize("options", [{}, {"group": True}, {"diverse": True}])
def test_a_page_matches_by_its_own_hits_and_not_by_the_next_one(shown: Searcher, options: dict[str, bool]) -> None:
    vectors = rows(list(np.random.default_rng(0).normal(size=(200, shown.collection.identity.dim))))
    behind = 0
    for vector in vectors.astype(np.float32):
        one = shown.page([VectorTerm(vector)], k=1, **options)  # type: ignore[arg-type]
        assert one.matched is ((one.hits[0].strength or 0) >= MATCH)
        behind += one.matched is not shown.page([VectorTerm(vector)], k=2, **options).matched  # type: ignore[arg-type]
    assert behind


def test_a_strength_is_the_logistic_of_the_centered_cosine_in_spreads(shown: Searcher, space: Space) -> None:
    """The same number from every vector of the collection and plain numpy."""
    pictures = space.pictures([f"thing {number}" for number in range(200)])
    texts = space.encode_texts(list(BACKGROUND_TEXTS))
    centered = rows(list(pictures - pictures.mean(axis=0)))
    spread = (rows(list(texts - texts.mean(axis=0))) @ centered.T).std()
    query = space.encode_texts(["thing 7"])[0] - texts.mean(axis=0)
    expected = 1 / (
        1 + np.exp(-1.2 * (centered @ query / np.linalg.norm(query) / spread - np.sqrt(2 * np.log(200)) - 0.5))
    )
    hits = shown.page([TextTerm("thing 7")], k=200).hits
    assert [hit.strength for hit in hits] == pytest.approx([expected[int(hit.path.stem)] for hit in hits], abs=1e-3)


def test_a_copy_of_a_picture_is_strong_and_its_neighbours_are_not(shown: Searcher) -> None:
    vector = shown.collection.catalog.stored("images", [9])[9].astype(np.float32)
    hits = shown.page([VectorTerm(vector)], k=2).hits
    assert hits[0].id == 9
    assert (hits[0].strength or 0) > 0.9 > 0.5 > (hits[1].strength or 1)


def test_the_background_is_encoded_once_and_only_when_a_text_is_asked(shown: Searcher, space: Space) -> None:
    shown.page([IdTerm(3)])
    assert space.calls == 0
    shown.page([TextTerm("thing 1")])
    shown.page([TextTerm("thing 2")])
    assert space.calls == 3


def test_a_negative_text_lets_go_of_its_own_picture_and_keeps_the_wanted_one(shown: Searcher, space: Space) -> None:
    both = rows([space.pictures(["thing 1"])[0] + space.pictures(["thing 2"])[0]])
    collection = shown.collection
    image = NewImage(FileStamp("/both.jpg", 1, 1), b"b" * 32, Facts(1, 1, "JPEG"), both[0].astype("<f4"))
    collection.catalog.apply(Changes(added=[image]))
    collection.publish()
    with_it = [hit.path.stem for hit in shown.page([TextTerm("thing 1")], k=2).hits]
    without = [hit.path.stem for hit in shown.page([TextTerm("thing 1"), TextTerm("thing 2", -1.0)], k=2).hits]
    assert with_it == ["1", "both"]
    assert without[0] == "1"
    assert "both" not in without


def test_a_small_collection_says_nothing_of_its_scores(tmp_path: object, space: Space) -> None:
    collection = Collection.create(tmp_path / "small", space.identity)  # type: ignore[operator]
    filled(collection, space.pictures([f"thing {number}" for number in range(FEWEST - 1)]))
    page = Searcher(collection, lambda: space).page([TextTerm("thing 1")])  # type: ignore[arg-type, return-value]
    assert page.matched is None
    assert {hit.strength for hit in page.hits} == {None}


def test_an_empty_collection_has_no_match(tmp_path: object, space: Space) -> None:
    collection = Collection.create(tmp_path / "empty", space.identity)  # type: ignore[operator]
    page = Searcher(collection, lambda: space).page([TextTerm("thing 1")])  # type: ignore[arg-type, return-value]
    assert (page.hits, page.next, page.matched) == ([], None, False)


def test_a_sample_of_a_large_index_is_spread_over_all_of_it(tmp_path: object, space: Space) -> None:
    """Two halves of other kinds: a mean of the beginning alone would be far off."""
    halves = np.concatenate(
        [rows([space.image_mean + space.subject(f"{side}{n}") + 6 * side for n in range(3000)]) for side in (-1, 1)]
    )
    collection = filled(Collection.create(tmp_path / "large", space.identity), halves)  # type: ignore[operator]
    mean = Calibrator(collection, space.encode_texts).mean("image")  # type: ignore[arg-type]
    assert mean == pytest.approx(halves.mean(axis=0), abs=0.05)
