"""Groups of images that are one picture: all copies and edits, none that only looks like them, the best first."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.edits import screenshot
from indexer.bench_pictures import picture
from indexer.cli import main
from search.collection import Collection
from search.compared import COMPARED_FILE, load_compared, save_compared
from search.duplicates import find_duplicates
from search.errors import CollectionError
from search.types import DuplicateKind
from search.verify import verify
from tests.conftest import Build


def made(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    return picture(np.random.default_rng(seed), size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pictures; of 1 a copy, of 2 a larger and a mirrored edit and a copy of that, of 3 its file as a bitmap."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        made(number).save(folder / f"{number}.png")
    shutil.copy(folder / "1.png", folder / "1-copy.png")
    made(2).resize((640, 480)).save(folder / "2-large.jpg")
    ImageOps.mirror(made(2)).save(folder / "2-mirror.jpg")
    shutil.copy(folder / "2-mirror.jpg", folder / "2-mirror-copy.jpg")
    made(3).save(folder / "3.bmp")
    for age, name in enumerate(("3.bmp", "3.png", "1-copy.png", "1.png")):
        os.utime(folder / name, (1_700_000_000 + age, 1_700_000_000 + age))
    return folder


def found(collection: Collection, kind: DuplicateKind) -> list[tuple[str, list[str]]]:
    """Kind and names of each group, in their order."""
    groups = find_duplicates(collection, kind, stop=threading.Event())
    return sorted((group.kind, [Path(image.path).name for image in group.images]) for group in groups)


def test_copies_are_grouped_by_their_bytes(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    first, second = found(collection, "identical")
    assert first == ("identical", ["1-copy.png", "1.png"])
    assert (second[0], set(second[1])) == ("identical", {"2-mirror.jpg", "2-mirror-copy.jpg"})


def test_edits_join_the_groups_of_their_copies_and_the_best_comes_first(
    collection: Collection, index: Build, folder: Path
) -> None:
    index(folder)
    groups = {names[0]: (kind, names) for kind, names in found(collection, "edited")}
    assert set(groups) == {"1-copy.png", "2-large.jpg", "3.bmp"}, "most pixels; then format; then the oldest"
    assert groups["1-copy.png"] == ("identical", ["1-copy.png", "1.png"])
    kind, names = groups["2-large.jpg"]
    assert (kind, names[1], set(names[2:])) == ("edited", "2.png", {"2-mirror.jpg", "2-mirror-copy.jpg"})
    assert groups["3.bmp"] == ("edited", ["3.bmp", "3.png"])


def test_pictures_in_the_same_frame_are_similar_at_most(collection: Collection, index: Build, tmp_path: Path) -> None:
    folder = tmp_path / "screens"
    folder.mkdir()
    for number in range(5):
        screenshot(made(number), random.Random(number)).save(folder / f"{number}.png")
    index(folder)
    assert found(collection, "edited") == []
    assert {kind for kind, _ in found(collection, "similar")} == {"similar"}


def test_without_features_only_copies_are_seen(collection: Collection, index: Build, folder: Path) -> None:
    index(folder, keypoints=0)
    assert found(collection, "edited") == found(collection, "identical")


def test_a_stopped_search_says_what_it_found(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    stop = threading.Event()
    stop.set()
    assert {group.kind for group in find_duplicates(collection, "edited", stop=stop)} == {"identical"}


def test_the_command_line_names_groups_and_deletes_nothing(
    collection: Collection, index: Build, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index(folder)
    before = sorted(folder.iterdir())
    words = ["duplicates", "--collection", str(collection.directory)]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "edited, 4 images\n  best  id:" in told.out
    assert "groups: 3; images beside the best of each: 5, of 13 in all" in told.err
    assert main([*words, "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert sorted(len(group["images"]) for group in groups) == [2, 2, 4]
    assert main([*words, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["path"] for row in rows] == [image["path"] for group in groups for image in group["images"]]
    assert sum(int(row["best"]) for row in rows) == 3
    assert main([*words, "--paths"]) == 0
    others = [image["path"] for group in groups for image in group["images"][1:]]
    assert capsys.readouterr().out.splitlines() == others
    assert sorted(folder.iterdir()) == before
    assert verify(collection).clean


def test_no_duplicates_are_an_answer_too(
    collection: Collection, index: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    made(0).save(tmp_path / "one" / "0.png")
    index(tmp_path / "one", keypoints=0)
    assert main(["duplicates", "--collection", str(collection.directory)]) == 1
    assert "1 images have no local features" in capsys.readouterr().err


def test_only_what_is_new_is_compared_the_next_time(collection: Collection, index: Build, folder: Path) -> None:
    """A pair that nobody would find stays; a new image is compared with the old ones, and one that went is gone."""
    index(folder)
    first = found(collection, "edited")
    file = collection.directory / COMPARED_FILE
    kept = load_compared(file)["edited"]
    names = {Path(image.path).name: image.id for image in collection.catalog.bulk.files()}
    assert set(kept.images.tolist()) == set(names.values()) - {
        max(names["1.png"], names["1-copy.png"]),
        max(names["2-mirror.jpg"], names["2-mirror-copy.jpg"]),
    }
    pair = np.array(sorted((names["6.png"], names["7.png"])))
    save_compared(file, {"edited": kept.and_also(np.zeros(0, np.int64), pair)})
    made(0).rotate(90, expand=True).save(folder / "0-turned.png")
    (folder / "3.bmp").unlink()
    index(folder)
    members = sorted(sorted(names) for _, names in found(collection, "edited"))
    assert ["6.png", "7.png"] in members
    assert ["0-turned.png", "0.png"] in members
    assert not any("3.png" in names for names in members)
    file.unlink()
    assert sorted(sorted(names) for _, names in found(collection, "edited")) == [
        names for names in members if names != ["6.png", "7.png"]
    ]
    assert len(first) == 3


def test_what_was_found_similar_is_kept_apart_from_edits(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    similar = found(collection, "similar")
    assert len(found(collection, "edited")) == 3
    assert found(collection, "similar") == similar
    assert set(load_compared(collection.directory / COMPARED_FILE)) == {"edited", "similar"}


def test_a_damaged_memory_is_refused_by_name(collection: Collection, index: Build, folder: Path) -> None:
    index(folder)
    (collection.directory / COMPARED_FILE).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CollectionError, match=r"compared\.npz is damaged; remove it"):
        found(collection, "edited")


def test_a_file_under_several_names_is_no_duplicate_of_itself(
    collection: Collection, index: Build, tmp_path: Path
) -> None:
    photos = tmp_path / "z"
    (photos / "a").mkdir(parents=True)
    made(1).save(photos / "file.png")
    made(1, (160, 120)).save(photos / "small.png")
    (photos / "a" / "link.png").symlink_to(photos / "file.png")
    (photos / "a" / "other.png").hardlink_to(photos / "file.png")
    (tmp_path / "b").symlink_to(photos)
    index(photos, tmp_path / "b")
    assert len(collection.catalog.paths()) == 8
    for kind in ("identical", "edited", "similar"):
        for _, names in found(collection, kind):
            assert names == ["file.png", "small.png"]
    shutil.copy(photos / "file.png", photos / "copy.png")
    index(photos)
    (group,) = find_duplicates(collection, "identical", stop=threading.Event())
    assert {image.path for image in group.images} == {str(photos / "file.png"), str(photos / "copy.png")}
