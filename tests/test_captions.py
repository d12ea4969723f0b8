"""indexer/captions.py: which files speak of a picture, and what they say."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from indexer.captions import MAX_CAPTION_LENGTH, MAX_CAPTIONS, Captions, read_captions, sidecars_of


def captions_of(folder: Path, name: str = "photo.jpg") -> Captions:
    return read_captions(f"{folder}/{name}", sidecars_of(name, {entry.name for entry in folder.iterdir()}))


@pytest.mark.parametrize(
    ("name", "beside", "sidecars"),
    [
        ("photo.jpg", {"photo.jpg"}, ()),
        ("photo.jpg", {"photo.jpg", "photo.txt", "other.txt"}, ("photo.txt",)),
        ("photo.jpg", {"photo.jpg.txt", "photo.json", "photo.txt"}, ("photo.txt", "photo.jpg.txt", "photo.json")),
        ("photo.jpg", {"captions.json", "photo.jpg.json"}, ("photo.jpg.json", "captions.json")),
        ("photo.jpg", {"photo.jpg.supplemental-metadata.json"}, ("photo.jpg.supplemental-metadata.json",)),
        ("a.b.jpg", {"a.txt", "a.b.txt"}, ("a.b.txt",)),
        ("noname", {"noname.txt"}, ("noname.txt",)),
        ("captions.jpg", {"captions.json"}, ("captions.json",)),
    ],
)
def test_sidecars_are_found_by_name_alone(name: str, beside: set[str], sidecars: tuple[str, ...]) -> None:
    assert sidecars_of(name, beside) == sidecars


def test_a_picture_without_sidecars_has_no_captions(tmp_path: Path) -> None:
    assert captions_of(tmp_path) == Captions(())


def test_each_line_of_a_text_is_a_caption(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_bytes("\ufeffa  red\tdoor\r\n\r\n   \nein Fluß\na red door\n".encode())
    assert captions_of(tmp_path) == Captions(("a red door", "ein Fluß"))


@pytest.mark.parametrize(
    ("value", "captions"),
    [
        ({"caption": "a"}, ("a",)),
        ({"captions": ["a", "b", "a", " "]}, ("a", "b")),
        ({"description": "from takeout", "title": "IMG_1.jpg", "creationTime": {"timestamp": "1"}}, ("from takeout",)),
        ({"caption": "a", "captions": ["b"], "description": ""}, ("a", "b")),
        ({"title": "IMG_1.jpg"}, ()),
        ("just a text", ("just a text",)),
        (["a", "b"], ("a", "b")),
        ({"caption": "lone \ud800 surrogate \u0000 and zero"}, ("lone surrogate and zero",)),
        (None, ()),
    ],
)
def test_json_sidecars_hold_captions_under_known_keys(tmp_path: Path, value: Any, captions: tuple[str, ...]) -> None:
    (tmp_path / "photo.jpg.json").write_text(json.dumps(value))
    assert captions_of(tmp_path) == Captions(captions)


def test_one_file_may_speak_of_a_whole_folder(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text(json.dumps({"photo.jpg": ["a", "b"], "other.jpg": "c", "none.jpg": None}))
    assert captions_of(tmp_path) == Captions(("a", "b"))
    assert captions_of(tmp_path, "other.jpg") == Captions(("c",))
    assert captions_of(tmp_path, "none.jpg") == Captions(())
    assert captions_of(tmp_path, "absent.jpg") == Captions(())


def test_captions_of_all_sidecars_are_joined_without_duplicates(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_text("one\ntwo\n")
    (tmp_path / "photo.json").write_text('{"captions": ["two", "three"]}')
    (tmp_path / "captions.json").write_text('{"photo.jpg": ["four", "one"]}')
    assert captions_of(tmp_path).captions == ("one", "two", "three", "four")


def test_a_changed_folder_file_is_read_again(tmp_path: Path) -> None:
    sidecar = tmp_path / "captions.json"
    for time_ns, caption in ((1_000_000_000, "before"), (2_000_000_000, "after")):
        sidecar.write_text(json.dumps({"photo.jpg": caption}))
        os.utime(sidecar, ns=(time_ns, time_ns))
        assert captions_of(tmp_path).captions == (caption,)


def test_a_large_folder_file_is_parsed_once(tmp_path: Path) -> None:
    names = [f"{number:06}.jpg" for number in range(20_000)]
    (tmp_path / "captions.json").write_text(json.dumps({name: [f"caption of {name}"] * 5 for name in names}))
    start = time.monotonic()
    for name in names[:2_000]:
        assert read_captions(f"{tmp_path}/{name}", ["captions.json"]).captions == (f"caption of {name}",)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("sidecar", "data", "problem"),
    [
        ("photo.txt", b"caf\xe9", "photo.txt: not UTF-8 text: byte 3 is wrong"),
        ("photo.txt", b"", "photo.txt: empty file"),
        ("photo.txt", b"x" * 1_000_001, "photo.txt: 1 MB, over the limit of 1 MB for one file"),
        ("photo.json", b'{"caption": ', "photo.json: not JSON: Expecting value in line 1"),
        ("photo.json", b"[" * 100_000, "photo.json: not JSON that can be read: too deep or a number too long"),
        ("photo.json", b"9" * 5_000, "photo.json: not JSON that can be read: too deep or a number too long"),
        ("photo.json", b'{"caption": 7}', "photo.json: a caption that is not a text but int"),
        ("photo.json", b'{"captions": [["a"]]}', "photo.json: a caption that is not a text but list"),
        ("captions.json", b"[]", "captions.json: not an object of captions by file name"),
        ("captions.json", b"{", "captions.json: not JSON: Expecting property name enclosed in double quotes in line 1"),
        ("captions.json", b'{"photo.jpg": {"caption": [[]]}}', "captions.json: a caption that is not a text but list"),
    ],
)
def test_a_malformed_sidecar_is_a_problem_beside_the_other_captions(
    tmp_path: Path, sidecar: str, data: bytes, problem: str
) -> None:
    (tmp_path / "photo.jpg.txt").write_text("a good one")
    (tmp_path / sidecar).write_bytes(data)
    assert captions_of(tmp_path) == Captions(("a good one",), (problem,))


def test_a_sidecar_that_is_gone_or_no_file_is_a_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.txt")
    result = read_captions(f"{tmp_path}/photo.jpg", ["photo.txt", "photo.json", "captions.json"])
    gone = "cannot be read: No such file or directory"
    problems = ("photo.txt: not a regular file", f"photo.json: {gone}", f"captions.json: {gone}")
    assert result == Captions((), problems, unread=True)


def test_captions_are_limited_in_number_and_length(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_text("\n".join(f"{number} " + "x" * 3_000 for number in range(MAX_CAPTIONS + 5)))
    result = captions_of(tmp_path)
    assert len(result.captions) == MAX_CAPTIONS
    assert {len(caption) for caption in result.captions} == {MAX_CAPTION_LENGTH}
    assert result.problems == (f"photo.jpg: {MAX_CAPTIONS + 5} captions, only the first {MAX_CAPTIONS} are kept",)
