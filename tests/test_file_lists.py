"""Files that a list names: rows for just these, which updates look at again."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexer.cli import main
from indexer.roots import merge, merge_files
from search.collection import Collection
from search.settings import PROJECT
from search.types import Root
from search.verify import verify

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 0.jpg to 5.jpg, one with a caption, and as many in a folder below."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for number, file in enumerate(sorted((PROJECT / "data" / "sample").rglob("*.jpg"))[:12]):
        place = folder if number < 6 else folder / "below"
        (place / f"{number % 6}.jpg").write_bytes(file.read_bytes())
    (folder / "1.txt").write_text("a thing")
    return folder


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A verb over the collection in `tmp_path`, its exit code and the report; `files` is the list that it is given."""

    def verb(*words: str, code: int = 0, files: list[Path | str] | None = None) -> dict[str, Any]:
        lines = "".join(f"{file}\r\n" for file in files or [])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        named = ["--files-from", "-"] if files is not None else []
        model = ["--model", "bundled"] if words[0] == "build" else []
        assert main([*words, *named, *model, "--json", "--collection", str(tmp_path / "collection")]) == code
        return dict(json.loads(capsys.readouterr().out))

    return verb


def names(tmp_path: Path) -> list[str]:
    collection = Collection.open(tmp_path / "collection")
    assert verify(collection).clean
    return sorted(path.removeprefix(f"{tmp_path}/photos/") for path in collection.catalog.paths())


def test_rows_are_made_for_just_the_files_of_a_list(tmp_path: Path, folder: Path, run: Run) -> None:
    report = run("build", files=[folder / "0.jpg", folder / "1.jpg", folder / "1.jpg", "", folder / "below" / "0.jpg"])
    assert report["new"] == 3
    assert names(tmp_path) == ["0.jpg", "1.jpg", "below/0.jpg"]
    collection = Collection.open(tmp_path / "collection")
    assert collection.catalog.counts()["texts"] == 1
    assert collection.catalog.roots() == [Root(str(folder), ("*",)), Root(f"{folder}/below", ("*",))]
    report = run("build", files=[folder / "2.jpg"])
    assert (report["new"], report["removed"]) == (1, 0)


def test_an_update_looks_at_these_files_again_and_at_no_others(tmp_path: Path, folder: Path, run: Run) -> None:
    run("build", files=[folder / f"{number}.jpg" for number in range(4)])
    assert run("update")["unchanged"] == 4
    (folder / "0.jpg").unlink()
    (folder / "1.jpg").write_bytes((folder / "5.jpg").read_bytes())
    (folder / "2.txt").write_text("something")
    report = run("update")
    assert [report[name] for name in ("removed", "changed", "recaptioned", "new")] == [1, 1, 1, 0]
    assert names(tmp_path) == ["1.jpg", "2.jpg", "3.jpg"]
    for number in (1, 2, 3):
        (folder / f"{number}.jpg").unlink()
    report = run("update", code=1)
    assert "are gone; they are kept" in report["unreadable"][str(folder)]
    assert run("update", "--allow-mass-removal")["removed"] == 3


def test_what_a_list_names_and_is_not_there_is_told_of(tmp_path: Path, folder: Path, run: Run) -> None:
    missing = [folder / "none.jpg", folder / "1.txt", tmp_path / "nowhere" / "a.jpg", "https://example.org/a.jpg"]
    report = run("build", code=1, files=[folder / "0.jpg", *missing])
    why = "no picture is there, or the rules of its folder leave it out"
    assert report["unreadable"] == {str(Path.cwd() / path): why for path in map(str, missing)} | {}
    assert names(tmp_path) == ["0.jpg"]
    assert run("update")["unchanged"] == 1


def test_files_of_followed_folders_obey_their_rules(tmp_path: Path, folder: Path, run: Run) -> None:
    run("build", str(folder), "--exclude", "below")
    (folder / "0.jpg").write_bytes((folder / "below" / "0.jpg").read_bytes())
    (folder / "1.jpg").write_bytes((folder / "below" / "1.jpg").read_bytes())
    (folder / "2.jpg").unlink()
    report = run("build", code=1, files=[folder / "0.jpg", folder / "below" / "0.jpg"])
    assert [report[name] for name in ("changed", "unchanged", "removed")] == [1, 0, 0]
    assert list(report["unreadable"]) == [f"{folder}/below/0.jpg"]
    report = run("update")
    assert [report[name] for name in ("changed", "unchanged", "removed")] == [1, 4, 1]


def test_a_folder_of_named_files_can_be_taken_whole(tmp_path: Path, folder: Path, run: Run) -> None:
    run("build", files=[folder / "0.jpg", folder / "below" / "0.jpg"])
    run("remove", str(folder / "0.jpg"))
    assert run("update")["unchanged"] == 1
    assert run("build", files=[folder / "0.jpg"])["new"] == 1
    assert run("build", str(folder / "below"))["new"] == 5
    assert names(tmp_path) == ["0.jpg", *(f"below/{number}.jpg" for number in range(6))]


def test_a_list_is_a_file_too_and_stands_alone(
    tmp_path: Path, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (tmp_path / "list").write_text("\ufeff0.jpg\nbelow/../1.jpg\n", encoding="utf-8")
    assert run("build", "--files-from", str(tmp_path / "list"))["new"] == 2
    for words in ([], [str(folder), "--files-from", "-"]):
        with pytest.raises(SystemExit):
            main(["build", *words])
    assert main(["build", "--files-from", str(tmp_path / "none"), "--collection", str(tmp_path / "collection")]) == 2


def test_named_files_are_followed_where_nothing_holds_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    a, b = Root(f"{tmp_path}/a", ("*",)), Root(f"{tmp_path}/a/b", ("*",))
    files = [f"{a.path}/1.jpg", f"{b.path}/2.jpg"]
    whole = Root(a.path, ("x",))
    assert merge_files([], files) == ([a, b], [a, b])
    assert merge_files([whole], files) == ([whole], [whole])
    assert merge([a, b], [Root(b.path)]) == ([Root(b.path)], [a, Root(b.path)])
    assert merge([a, b], [whole]) == ([whole], [whole])
