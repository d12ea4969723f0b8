"""Folders asked for against folders followed."""

from __future__ import annotations

from pathlib import Path

from indexer.roots import apart, drop, merge, merge_files
from search.types import Root


def test_a_new_folder_is_walked_and_followed() -> None:
    assert merge([Root("/a")], [Root("/b")]) == ([Root("/b")], [Root("/a"), Root("/b")])


def test_a_followed_folder_keeps_its_exclusions_and_gets_new_ones() -> None:
    joined = Root("/a", ("x", "y"))
    assert merge([Root("/a", ("x",))], [Root("/a", ("y",))]) == ([joined], [joined])


def test_a_folder_within_a_followed_one_is_walked_alone() -> None:
    outer = Root("/a", ("x",), include_hidden=True)
    assert merge([outer], [Root("/a/b")]) == ([Root("/a/b", ("x",), include_hidden=True)], [outer])


def test_a_folder_around_followed_ones_takes_their_place() -> None:
    assert merge([Root("/a/b"), Root("/a/c"), Root("/ab")], [Root("/a")]) == ([Root("/a")], [Root("/a"), Root("/ab")])


def test_of_two_folders_asked_for_the_outer_one_is_walked() -> None:
    assert merge([], [Root("/a/b"), Root("/a")]) == ([Root("/a")], [Root("/a")])


def test_a_folder_named_like_another_is_not_within_it() -> None:
    assert merge([Root("/photos")], [Root("/photos-2")])[1] == [Root("/photos"), Root("/photos-2")]


def test_a_dropped_root_is_forgotten_and_a_dropped_folder_excluded() -> None:
    assert drop([Root("/a"), Root("/b")], "/a") == [Root("/b")]
    assert drop([Root("/a")], "/a/b[1]") == [Root("/a", ("b[[]1]",))]


def test_asking_for_an_excluded_folder_takes_it_in_again() -> None:
    dropped = drop([Root("/a")], "/a/b")
    assert merge(dropped, [Root("/a/b")]) == ([Root("/a/b")], [Root("/a")])


def test_a_folder_that_the_rules_of_another_leave_out_is_followed_beside_it() -> None:
    outer, hidden, excluded = Root("/a", ("x*",)), Root("/a/.b"), Root("/a/c/x1/d")
    assert merge([outer], [hidden]) == ([hidden], [outer, hidden])
    assert merge([], [outer, hidden]) == ([outer, hidden], [outer, hidden])
    assert merge([outer, hidden], [outer, hidden]) == ([outer, hidden], [outer, hidden])
    assert merge([outer, hidden], [Root("/a/.b", ("y",))])[1] == [outer, Root("/a/.b", ("y",))]
    assert merge([outer], [excluded]) == ([excluded], [outer, excluded])
    assert merge([outer, hidden], [Root("/a", (), include_hidden=True)])[1] == [
        Root("/a", ("x*",), include_hidden=True)
    ]
    assert apart(outer, [outer, hidden, excluded, Root("/a/c"), Root("/ab")]) == ("/a/.b/", "/a/c/x1/d/")


def test_files_that_are_named_belong_to_the_innermost_folder(tmp_path: Path) -> None:
    (tmp_path / ".b").mkdir()
    outer, hidden = Root(str(tmp_path)), Root(f"{tmp_path}/.b", ("y",))
    assert merge_files([outer, hidden], [f"{hidden.path}/1.jpg"]) == ([hidden], [outer, hidden])


def test_the_rules_of_a_folder_and_of_one_around_it_hold_in_both() -> None:
    outer = Root("/a", ("b/x", "y"))
    walked, followed = merge([outer], [Root("/a/b", ("z",))])
    assert walked == [Root("/a/b", ("x", "y", "z"))]
    assert followed == [Root("/a", ("b/x", "y", "b/z", "b/*/z"))]


def test_a_removed_file_that_is_named_is_taken_in_again(tmp_path: Path) -> None:
    file = str(tmp_path / "a[1].jpg")
    dropped = drop([Root(str(tmp_path), ("x",))], file)
    assert dropped != [Root(str(tmp_path), ("x",))]
    assert merge_files(dropped, [file]) == ([Root(str(tmp_path), ("x",))],) * 2


def test_what_is_known_of_a_tar_is_apart_from_its_folder_when_the_tar_is_gone(tmp_path: Path) -> None:
    outer, tar = Root(str(tmp_path)), Root(str(tmp_path / "one.tar"))
    assert apart(outer, [outer, tar]) == (f"{tar.path}/",)
    assert merge([outer, tar], [outer])[1] == [outer, tar]
    Path(tar.path).mkdir()
    assert apart(outer, [outer, tar]) == ()
