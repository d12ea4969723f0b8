"""A lookup names the copies of a file first, whatever they are called and wherever the model would rank them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import BadPicture, BadQuery
from search.image import digest_of
from search.lookup import Candidate, by_id, by_image
from search.searcher import Searcher
from search.types import Facts
from tests.colors import ColorEncoder
from tests.conftest import Build, paint


def names(candidates: list[Candidate]) -> list[tuple[str, str]]:
    return [(candidate.verdict, candidate.hit.path.name) for candidate in candidates]


def test_a_file_of_the_collection_is_identical_and_the_others_are_look_alikes(
    searcher: Searcher, photos: Path, index: Build
) -> None:
    index(photos)
    first, *others = by_image(searcher, (photos / "red.png").read_bytes())
    assert names([first]) == [("identical", "red.png")]
    assert first.hit.score == pytest.approx(searcher.by_image(photos / "red.png", k=1)[0].score, abs=1e-3)
    assert sorted(names(others)) == [("look-alike", "blue.webp"), ("look-alike", "green.bmp")]


def test_the_same_picture_in_another_file_is_a_look_alike(searcher: Searcher, photos: Path, index: Build) -> None:
    index(photos)
    other = paint(photos.parent / "red.bmp", "red")
    assert names(by_image(searcher, other.read_bytes(), k=1)) == [("look-alike", "red.png")]


def test_a_known_file_does_not_reach_the_model(
    searcher: Searcher, photos: Path, index: Build, encoder: ColorEncoder
) -> None:
    index(photos)
    before = encoder.encoded
    by_image(searcher, (photos / "red.png").read_bytes())
    assert encoder.encoded == before


def test_all_copies_are_named_and_none_twice(searcher: Searcher, photos: Path, index: Build) -> None:
    shutil.copy(photos / "red.png", photos / "trip" / "again.png")
    index(photos)
    found = names(by_image(searcher, (photos / "red.png").read_bytes()))
    assert sorted(found[:2]) == [("identical", "again.png"), ("identical", "red.png")]
    assert sorted(found[2:]) == [("look-alike", "blue.webp"), ("look-alike", "green.bmp")]
    assert len(by_image(searcher, (photos / "red.png").read_bytes(), k=1)) == 1


def test_an_image_is_no_candidate_for_itself_but_its_copy_is(searcher: Searcher, photos: Path, index: Build) -> None:
    shutil.copy(photos / "red.png", photos / "trip" / "again.png")
    index(photos)
    (original,) = [hit.image_id for hit in searcher.by_text("red", k=2) if hit.path.name == "red.png"]
    found = by_id(searcher, original, k=3)
    assert names(found)[0] == ("identical", "again.png")
    assert original not in {candidate.hit.image_id for candidate in found}


def test_a_copy_is_found_before_the_index_holds_it(collection: Collection, searcher: Searcher) -> None:
    vector = np.array([0, 0, 0, 1], np.float32)
    stamp = FileStamp("/photos/new.png", 1, 1)
    collection.catalog.apply(Changes(added=[NewImage(stamp, digest_of(b"new"), Facts(1, 1, "PNG"), vector)]))
    assert names(by_image(searcher, b"new")) == [("identical", "new.png")]


def test_what_cannot_be_looked_up_is_refused(searcher: Searcher) -> None:
    with pytest.raises(BadPicture, match="not a picture"):
        by_image(searcher, b"words")
    with pytest.raises(BadQuery, match="no image has the id 99"):
        by_id(searcher, 99)
