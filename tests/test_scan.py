"""Which files a walk takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from indexer.scan import scan
from search.types import Root
from tests.conftest import paint


def found(folder: Path, **rules: object) -> list[str]:
    return [os.path.relpath(file.stamp.path, folder) for file in scan(Root(str(folder), **rules)).files]  # type: ignore[arg-type]


def test_pictures_are_told_by_suffix_in_any_case(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.Heic", "c.png", "notes.txt", "d.jpg.bak", "README"):
        (tmp_path / name).touch()
    assert found(tmp_path) == ["a.JPG", "b.Heic", "c.png"]


def test_files_come_in_order_folder_by_folder(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a/3.png", "0.png"):
        paint(tmp_path / name, "red")
    assert found(tmp_path) == ["0.png", "a/3.png", "b/1.png", "b/2.png"]


def test_a_stamp_is_the_files_size_and_time(tmp_path: Path) -> None:
    file = paint(tmp_path / "a.png", "red")
    (stamp,) = [file.stamp for file in scan(Root(str(tmp_path))).files]
    assert (stamp.size_bytes, stamp.mtime_ns) == (file.stat().st_size, file.stat().st_mtime_ns)


def test_hidden_and_system_folders_are_skipped_unless_included(tmp_path: Path) -> None:
    for name in (".cache/a.png", "@eaDir/b.png", ".c.png", "d.png"):
        paint(tmp_path / name, "red")
    assert found(tmp_path) == ["d.png"]
    assert sorted(found(tmp_path, include_hidden=True)) == [".c.png", ".cache/a.png", "@eaDir/b.png", "d.png"]


@pytest.mark.parametrize("glob", ["trash", "old/trash", "old/*", "*/trash/*"])
def test_names_and_paths_are_excluded_by_glob(tmp_path: Path, glob: str) -> None:
    paint(tmp_path / "old" / "trash" / "a.png", "red")
    paint(tmp_path / "b.png", "red")
    assert found(tmp_path, exclude=(glob,)) == ["b.png"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    paint(tmp_path / "photos" / "a.png", "red")
    paint(tmp_path / "elsewhere" / "b.png", "red")
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    assert found(tmp_path / "photos") == ["a.png", "more/b.png"]


@pytest.mark.parametrize("name", ["round", "round.png"])
def test_a_link_that_leads_to_itself_costs_nothing_beside_it(tmp_path: Path, name: str) -> None:
    paint(tmp_path / "a.png", "red")
    paint(tmp_path / "trip" / "b.png", "red")
    (tmp_path / name).symlink_to(name)
    assert found(tmp_path) == ["a.png", "trip/b.png"]
    assert list(scan(Root(str(tmp_path))).unreadable) == [str(tmp_path / name)]


def test_names_that_are_no_utf_8_are_found(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    paint(tmp_path / "a.png", "red").rename(os.fsdecode(odd))
    assert [os.fsencode(file.stamp.path) for file in scan(Root(str(tmp_path))).files] == [odd]


@pytest.mark.parametrize("catalog", ["catalog.sqlite", "catalog.url"])
def test_of_a_collection_in_the_folder_only_the_thumbnails_are_left_out(tmp_path: Path, catalog: str) -> None:
    """A collection that was made among the pictures hides none of them."""
    paint(tmp_path / "a.png", "red")
    paint(tmp_path / "trip" / "b.png", "red")
    paint(tmp_path / "trip" / "day" / "thumbnails" / "c.png", "red")
    paint(tmp_path / "trip" / "thumbnails" / "00" / "1.png", "red")
    (tmp_path / "trip" / catalog).touch()
    assert found(tmp_path) == ["a.png", "trip/b.png", "trip/day/thumbnails/c.png"]


def test_caption_files_beside_a_picture_are_named_and_stamped(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", "red")
    paint(tmp_path / "b.png", "red")
    (tmp_path / "a.txt").write_text("red")
    os.utime(tmp_path / "a.txt", ns=(5, 5))
    first, second = scan(Root(str(tmp_path))).files
    assert (first.sidecars, first.stamp.captions_stamp) == (("a.txt",), 5 + len("red"))
    assert (second.sidecars, second.stamp.captions_stamp) == ((), 0)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path) -> None:
    assert scan(Root(str(tmp_path / "nowhere"))).unreadable == {str(tmp_path / "nowhere"): "No such file or directory"}


@pytest.mark.parametrize(("name", "target"), [("a.txt", "gone"), ("captions.json", "gone"), ("a.txt", "a.txt")])
def test_a_caption_link_that_leads_nowhere_hides_no_picture(tmp_path: Path, name: str, target: str) -> None:
    paint(tmp_path / "a.png", "red")
    (tmp_path / name).symlink_to(target)
    assert found(tmp_path) == ["a.png"]
    assert [file.stamp.captions_stamp for file in scan(Root(str(tmp_path))).files] == [0]


def test_a_caption_file_without_a_time_is_told_from_none(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", "red")
    (tmp_path / "a.txt").write_text("")
    os.utime(tmp_path / "a.txt", ns=(0, 0))
    assert [file.stamp.captions_stamp for file in scan(Root(str(tmp_path))).files] == [1]


def test_a_caption_file_of_another_size_has_another_stamp(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", "red")
    stamps = []
    for words in ("red", "a red car"):
        (tmp_path / "a.txt").write_text(words)
        os.utime(tmp_path / "a.txt", ns=(5, 5))
        stamps += [file.stamp.captions_stamp for file in scan(Root(str(tmp_path))).files]
    assert len(set(stamps)) == 2
