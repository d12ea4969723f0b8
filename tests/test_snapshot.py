"""Backups: the catalog of one moment, taken while a build runs, restored bit for bit."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexer.build import Options, build
from indexer.cli import main
from search.classify import Classifier
from search.collection import Collection
from search.errors import BadImport, CollectionError
from search.searcher import Searcher
from search.snapshot import MANIFEST, restore_snapshot, take_snapshot
from search.types import Logits, Root
from search.verify import verify
from search.vocabulary import Vocabulary
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.scenarios import paint

DERIVED = ("generation", "publication")
"""Columns of `state` that a restored collection has of its own: its index is made anew."""


def tables(directory: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, bit for bit."""
    with closing(sqlite3.connect(directory / "catalog.sqlite")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for name in names:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if row[1] not in DERIVED]
            found[name] = sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {name}"), key=repr)
        return found


@pytest.fixture
def filled(collection: Collection, index: Build, photos: Path, encoder: ColorEncoder) -> Collection:
    """With captions, tags, a failure, local features and followed folders."""
    (photos / "red.txt").write_text("a red thing\n")
    (photos / "broken.jpg").write_bytes(b"no picture")
    index(photos)
    labels = Classifier(("warm", "cold"), encoder.encode_texts(["red", "blue"]), Logits(20.0))
    collection.tag(Vocabulary(labels, np.full(2, 0.6, np.float32), np.array([False, True])))
    return collection


def test_a_snapshot_is_restored_bit_for_bit(
    filled: Collection, tmp_path: Path, encoder: ColorEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, place = tmp_path / "backup", tmp_path / "new" / "restored"
    assert main(["export", str(backup), "--snapshot", "--collection", str(filled.directory)]) == 0
    assert capsys.readouterr().out == f"3 images and 1 captions, and all else, are in {backup}\n"
    assert main(["import", str(backup), "--collection", str(place)]) == 0
    before, after = tables(filled.directory), tables(place)
    assert {name for name, rows in before.items() if rows} >= {"images", "texts", "tags", "failures", "roots", "runs"}
    assert after == before
    restored = Collection.open(place)
    assert verify(restored).clean
    ways = [Searcher(each, lambda: encoder).by_text("red") for each in (filled, restored)]
    assert ways[0] == ways[1]
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["restored"]


def test_a_snapshot_takes_the_place_of_the_last_one_and_nothing_else_stays(
    filled: Collection, index: Build, photos: Path, tmp_path: Path
) -> None:
    take_snapshot(filled, tmp_path / "backup")
    (photos / "red.png").unlink()
    index(photos)
    assert take_snapshot(filled, tmp_path / "backup") == {"images": 2, "texts": 0}
    assert len(list((tmp_path / "backup").iterdir())) == 2
    assert restore_snapshot(tmp_path / "backup", tmp_path / "restored").catalog.counts()["images"] == 2


def test_a_snapshot_taken_while_a_build_runs_is_of_one_moment(
    collection: Collection, tmp_path: Path, encoder: ColorEncoder
) -> None:
    photos = tmp_path / "photos"
    paint(photos, range(40))
    taken: list[dict[str, int]] = []

    def progress(*_: object) -> None:
        taken.append(take_snapshot(collection, tmp_path / f"backup{len(taken)}"))

    with collection.writing():
        build(
            collection,
            [Root(str(photos))],
            lambda: encoder,
            options=Options(batch_size=8, keypoints=0, publish_seconds=0),
            progress=progress,
            stop=threading.Event(),
        )
    assert [counts["images"] for counts in taken] == [8, 16, 24, 32, 40]
    for number, counts in enumerate(taken):
        restored = restore_snapshot(tmp_path / f"backup{number}", tmp_path / f"restored{number}")
        assert restored.catalog.counts() == {**counts, "failures": 0}
        assert verify(restored).clean
        restored.close()


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("damaged", "content", "says"),
    [
        ("catalog-*.sqlite", "flipped", "is damaged: its digest"),
        ("catalog-*.sqlite", "cut", "is damaged: its digest"),
        ("catalog-*.sqlite", None, "has lost the file"),
        (MANIFEST, "{", "is damaged or cannot be read"),
        (MANIFEST, '{"file": "../a", "sha256": ""}', "has lost the file"),
    ],
)
def test_a_damaged_snapshot_is_refused_and_leaves_nothing(
    filled: Collection, tmp_path: Path, damaged: str, content: str | None, says: str
) -> None:
    take_snapshot(filled, tmp_path / "backup")
    (file,) = (tmp_path / "backup").glob(damaged)
    data = bytearray(file.read_bytes())
    if content == "flipped":
        data[len(data) // 2] ^= 1
    if content is None:
        file.unlink()
    else:
        file.write_bytes({"flipped": bytes(data), "cut": bytes(data[:-1])}.get(content, content.encode()))
    with pytest.raises(BadImport, match=says):
        restore_snapshot(tmp_path / "backup", tmp_path / "restored")
    assert sorted(file.name for file in tmp_path.iterdir() if "restor" in file.name) == []


def test_what_lies_beside_a_snapshot_or_a_collection_stays(filled: Collection, tmp_path: Path) -> None:
    others = [tmp_path / "backup" / name for name in ("catalog-2023.sqlite", "catalog-schema-0003.sqlite", "a.txt")]
    others += [tmp_path / "restored.new" / "letter.txt"]
    for file in others:
        file.parent.mkdir(exist_ok=True)
        file.write_text("precious")
    take_snapshot(filled, tmp_path / "backup")
    with closing(restore_snapshot(tmp_path / "backup", tmp_path / "restored")) as restored:
        assert restored.catalog.counts()["images"] == 3
    assert [file.read_text() for file in others] == ["precious"] * len(others)


@pytest.mark.parametrize("at", ["copy", "file_digest"])
def test_a_snapshot_that_is_interrupted_leaves_nothing(
    filled: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def interrupted(*files: Path) -> None:
        files[-1].touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(f"search.snapshot.{at}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        take_snapshot(filled, tmp_path / "backup")
    assert list((tmp_path / "backup").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "{backup}", "--snapshot", "--layout", "clip-retrieval"], "--snapshot writes the whole catalog"),
        (["export", "{backup}", "--snapshot", "--rows", "rows.json"], "--snapshot writes the whole catalog"),
        (["import", "{backup}", "--model", "bundled"], "is a snapshot, which says all of its collection"),
    ],
    ids=str,
)
def test_options_that_a_snapshot_does_not_take_are_refused(
    filled: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    take_snapshot(filled, tmp_path / "backup")
    given = [word.format(backup=tmp_path / "backup") for word in words]
    assert main([*given, "--collection", str(filled.directory)]) == 2
    assert told in capsys.readouterr().err


def test_a_snapshot_overwrites_no_collection(filled: Collection, tmp_path: Path) -> None:
    take_snapshot(filled, tmp_path / "backup")
    with pytest.raises(CollectionError, match="is not empty"):
        restore_snapshot(tmp_path / "backup", filled.directory)
