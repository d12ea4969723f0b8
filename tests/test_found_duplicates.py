"""Groups are kept as they were found, and less never takes the place of more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from indexer.cli import main
from search.collection import Collection
from search.errors import CollectionError
from search.found_duplicates import FILE, FoundDuplicates, FoundGroup, load
from tests.conftest import Build


def found(kind: str, generation: int, *groups: FoundGroup) -> FoundDuplicates:
    made = FoundDuplicates.now(kind, generation, [])  # type: ignore[arg-type]
    return FoundDuplicates(made.kind, made.generation, made.found_at, groups)


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    kept = found("edited", 3, FoundGroup("identical", (4, 2)), FoundGroup("edited", (9, 1, 8)))
    kept.keep(tmp_path)
    assert load(tmp_path) == kept


def test_less_does_not_take_the_place_of_more_until_the_index_changes(tmp_path: Path) -> None:
    found("edited", 3).keep(tmp_path)
    found("identical", 3).keep(tmp_path)
    assert load(tmp_path).kind == "edited"
    found("similar", 3).keep(tmp_path)
    assert load(tmp_path).kind == "similar"
    found("identical", 4).keep(tmp_path)
    assert load(tmp_path).kind == "identical"


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "other"}', "[]", '{"kind": "edited", "generation": "x"}'])
def test_a_damaged_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(CollectionError, match="is damaged: remove it"):
        load(tmp_path)


def test_the_verb_keeps_what_it_found(collection: Collection, index: Build, photos: Path) -> None:
    shutil.copy(photos / "red.png", photos / "copy.png")
    index(photos)
    assert main(["duplicates", "--collection", str(collection.directory)]) == 0
    kept = load(collection.directory)
    assert (kept.kind, kept.generation) == ("edited", collection.catalog.state().generation)
    ((kind, images),) = kept.groups
    assert kind == "identical"
    assert {row.path for row in collection.catalog.images(images).values()} == {
        str(photos / "red.png"),
        str(photos / "copy.png"),
    }


def test_a_collection_that_cannot_be_written_is_searched_all_the_same(
    collection: Collection, index: Build, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index(photos)
    (collection.directory / FILE).mkdir()
    assert main(["duplicates", "--collection", str(collection.directory)]) == 1
    assert "not kept for the page of duplicates" in capsys.readouterr().err
    (collection.directory / FILE).rmdir()
    (collection.directory / FILE).write_text("{")
    assert main(["duplicates", "--collection", str(collection.directory)]) == 1
    assert "is damaged: remove it" in capsys.readouterr().err
