"""Local features are kept with each image, however it came into the collection, and leave with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.bench_pictures import picture
from search.collection import Collection
from search.local_features import features_of, record_of, shrunk, unpacked
from tests.colors import ColorEncoder
from tests.conftest import Build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        picture(np.random.default_rng(number), (320, 240)).save(folder / f"{number}.png")
    return folder


def kept(collection: Collection) -> dict[str, bytes]:
    """The records by the name of the file."""
    records = collection.catalog.features.of(range(1, 50))
    return {Path(collection.catalog.images([id_])[id_].path).name: record for id_, record in records.items()}


def test_a_build_keeps_the_features_of_the_picture(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    with Image.open(folder / "1.png") as image:
        expected = features_of(shrunk(image.convert("RGB")), count=64)
    found = unpacked(kept(collection)["1.png"])
    assert np.abs(found.points - expected.points).max() < 0.01
    assert collection.catalog.features.totals() == (3, sum(map(len, kept(collection).values())))


def test_a_copy_has_the_features_of_its_original(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    shutil.copy(folder / "1.png", folder / "copy.png")
    assert index(folder).copied == 1
    assert kept(collection)["copy.png"] == kept(collection)["1.png"]


def test_features_leave_with_their_image(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    (folder / "1.png").unlink()
    index(folder)
    assert set(kept(collection)) == {"0.png", "2.png"}


def test_how_many_are_kept_can_be_said(collection: Collection, index: Build, folder: Path) -> None:
    index(folder, keypoints=10)
    assert {len(record) for record in kept(collection).values()} == {1028 + 10 * 70}


def test_images_without_features_get_them_with_the_next_build_and_no_model(
    collection: Collection, index: Build, folder: Path, encoder: ColorEncoder
) -> None:
    index(folder, keypoints=0)
    assert kept(collection) == {}
    before = encoder.encoded
    report = index(folder)
    assert (report.described, report.unchanged, encoder.encoded) == (3, 3, before)
    with Image.open(folder / "1.png") as image:
        assert kept(collection)["1.png"] == record_of(image.convert("RGB"), 64)
    assert index(folder).described == 0


def test_only_the_file_that_was_indexed_gives_its_features(
    collection: Collection, index: Build, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    index(folder, keypoints=0)
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "2.png").unlink()
    report = index(other)
    assert report.described == 4
    assert [image.path for image in collection.catalog.features.missing()] == [str(folder / "0.png")]
