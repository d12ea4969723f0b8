"""Generations: published whole, picked up by readers, checked and repaired."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from indexer import say
from search.catalog import Catalog
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.database import database_at
from search.errors import CollectionError, CollectionNotFound
from search.kinds import LEAST_SCAN
from search.searcher import Searcher
from search.types import EncoderIdentity, Facts, IndexPolicy, Target
from search.verify import repair, verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint

Write = Callable[..., None]


@pytest.mark.storages
def test_a_reader_sees_a_new_generation_without_opening_again(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    with closing(Collection.open(collection.directory)) as opened:
        reader = Searcher(opened, lambda: encoder)
        assert reader.by_text("red") == []
        index(photos)
        assert reader.by_text("red")[0].path.name == "red.png"
        paint(photos / "new.png", "yellow")
        index(photos)
        assert reader.by_text("yellow")[0].path.name == "new.png"


@pytest.mark.storages
def test_rows_that_are_not_published_are_not_found_and_do_not_disturb(
    collection: Collection, index: Build, photos: Path, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(photos)
    monkeypatch.setattr(Catalog, "publish", _crash)
    paint(photos / "new.png", "yellow")
    with pytest.raises(RuntimeError, match="crash"):
        index(photos)
    assert len(searcher.by_text("yellow")) == 3
    monkeypatch.undo()
    index(photos)
    assert len(searcher.by_text("yellow")) == 4
    assert verify(collection).clean


def _crash(*_: object) -> None:
    raise RuntimeError("crash")


def test_only_the_live_generation_stays_on_disk(collection: Collection, index: Build, photos: Path) -> None:
    (collection.directory / "images-00000099.faiss.new").touch()
    index(photos)
    (photos / "red.png").unlink()
    index(photos)
    files = sorted(file.name for file in collection.directory.iterdir() if "-0" in file.name)
    indexes = [f"{name}-00000002.faiss" for name in ("images", "keypoints", "texts")]
    assert files == sorted(["facts-00000002.npy", "text-facts-00000002.npy", *indexes])


@pytest.mark.storages
def test_readers_query_without_error_while_a_writer_publishes(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder, storage: str
) -> None:
    index(photos)
    done, problems = threading.Event(), []

    red = encoder.encode_texts(["red"])[0]

    def read() -> None:
        with closing(Collection.open(collection.directory)) as opened:
            searcher = Searcher(opened, lambda: encoder)
            while not done.is_set():
                for hit in searcher.by_text("red"):
                    stored = opened.catalog.stored("images", [hit.id]).values()
                    problems.extend(vector for vector in stored if abs(float(vector @ red) - hit.score) > 1e-3)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(5 if storage == "milvus" else 12):  # a publication there takes seconds
        paint(photos / "changing.png", ("yellow", "cyan")[number % 2], (10 + number, 9))
        index(photos)
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []


def test_no_collection_and_two_collections_are_refused(tmp_path: Path, collection: Collection) -> None:
    with pytest.raises(CollectionNotFound, match="python -m indexer build"):
        Collection.open(tmp_path / "nowhere")
    with pytest.raises(CollectionError, match="already holds"):
        Collection.create(collection.directory, collection.identity)


@pytest.fixture
def filled(collection: Collection, index: Build, photos: Path) -> Collection:
    (photos / "red.txt").write_text("a red thing\n")
    index(photos)
    assert verify(collection).clean
    return collection


@pytest.fixture
def write(collection: Collection, catalog_url: str | None) -> Write:
    """Change the catalog behind its back: `write(statement, name=value, ...)`."""

    def run(statement: str, **values: object) -> None:
        engine = database_at(catalog_url or collection.directory / "catalog.sqlite").engine
        with engine.begin() as connection:
            connection.execute(text(statement), values)
        engine.dispose()

    return run


@pytest.mark.parametrize(
    "vector",
    [np.zeros(4, "<f4"), np.full(4, np.nan, "<f4"), np.array([1, 1, 1, 1], "<f4"), np.array([1, 0], "<f4")],
    ids=["zero", "nan", "too long", "too few dimensions"],
)
@pytest.mark.parametrize("table", ["images", "texts"])
def test_verify_finds_and_repair_removes_a_vector_that_is_none(
    filled: Collection, index: Build, photos: Path, write: Write, vector: np.ndarray, table: str
) -> None:
    ((red,),) = [[row.id] for path, row in filled.catalog.known_files(str(photos)).items() if "red" in path]
    row = red if table == "images" else 1
    stored = vector.tobytes()
    write(
        f"UPDATE {table} SET vector = :vector, checksum = :checksum WHERE id = :row",
        vector=stored,
        checksum=zlib.crc32(stored),
        row=row,
    )
    findings = verify(filled)
    assert findings.bad_vectors == [red]
    repair(filled, findings)
    assert verify(filled).clean
    assert index(photos).new == 1
    assert verify(filled).clean


@pytest.mark.parametrize("table", ["images", "texts"])
def test_a_bit_that_flipped_in_a_stored_vector_is_refused_and_repaired(
    filled: Collection, index: Build, photos: Path, encoder: ColorEncoder, table: Target, write: Write
) -> None:
    ((red,),) = [[row.id] for path, row in filled.catalog.known_files(str(photos)).items() if "red" in path]
    row = red if table == "images" else 1
    vector = bytearray(filled.catalog.stored(table, [row])[row].tobytes())
    vector[3] ^= 0x80  # the sign: the vector keeps its length
    write(f"UPDATE {table} SET vector = :vector WHERE id = :row", vector=bytes(vector), row=row)
    with pytest.raises(CollectionError, match="damaged: verify --repair takes it out"):
        Searcher(filled, lambda: encoder).by_text("red", target=table)
    findings = verify(filled)
    assert findings.bad_vectors == [red]
    repair(filled, findings)
    assert index(photos).new == 1
    assert verify(filled).clean
    assert Searcher(filled, lambda: encoder).by_text("red")[0].path.name == "red.png"


def test_a_bit_that_flipped_in_local_features_is_refused_and_they_are_made_again(
    filled: Collection, index: Build, photos: Path, write: Write
) -> None:
    before = filled.catalog.features.of([1, 2, 3])
    write("UPDATE local_features SET record = :record WHERE image_id = 2", record=before[2][:-1] + b"\x01")
    with pytest.raises(CollectionError, match="local features of id:2 are damaged: verify --repair"):
        filled.catalog.features.of([1, 2, 3])
    findings = verify(filled)
    assert findings.bad_features == [2]
    assert "1 images have local features that are damaged, first id:2" in say.findings(findings)
    repair(filled, findings)
    assert verify(filled).clean
    assert index(photos).described == 1
    assert filled.catalog.features.of([1, 2, 3]) == before
    assert verify(filled).clean


def test_verify_finds_and_repair_rebuilds_an_index_that_disagrees(filled: Collection, write: Write) -> None:
    other = np.array([0, 0, 0, 1], "<f4").tobytes()
    write("UPDATE images SET vector = :vector, checksum = :sum WHERE id = 1", vector=other, sum=zlib.crc32(other))
    findings = verify(filled)
    assert "other vectors" in findings.indexes[0]
    repair(filled, findings)
    assert verify(filled).clean


@pytest.mark.storages
def test_verify_finds_rows_that_the_index_lacks_and_holds_too_much(filled: Collection, write: Write) -> None:
    write("DELETE FROM images WHERE id = 3")
    assert "1 vectors that the catalog does not" in verify(filled).indexes[0]
    repair(filled, verify(filled))
    assert verify(filled).clean


def test_verify_finds_and_repair_rebuilds_lost_and_damaged_index_files(filled: Collection) -> None:
    images, texts = (filled.index_file(target, 1) for target in ("images", "texts"))
    images.unlink()
    texts.write_bytes(texts.read_bytes()[:50])
    again = Collection.open(filled.directory)
    assert any("lost" in problem for problem in verify(again).indexes)
    repair(again, verify(again))
    assert verify(again).clean


def test_verify_names_files_that_are_gone(filled: Collection, photos: Path) -> None:
    (photos / "red.png").unlink()
    assert verify(filled).missing_files == [str(photos / "red.png")]


@pytest.fixture
def large(tmp_path: Path) -> Collection:
    """A collection of vectors without files, large enough for a scan."""
    collection = Collection.create(tmp_path / "large", EncoderIdentity("m", "a", "0" * 64, 16, "p"))
    rows = np.random.default_rng(5).normal(size=(LEAST_SCAN + 9, 16)) * np.geomspace(1, 0.2, 16)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    images = [
        NewImage(FileStamp(f"/p/{number}.jpg", 1, 1), number.to_bytes(32), Facts(1, 1, "JPEG"), row)
        for number, row in enumerate(rows)
    ]
    collection.catalog.apply(Changes(added=images))
    return collection


def test_a_scan_is_asked_for_once_and_goes_on(large: Collection) -> None:
    large.keep_background(np.eye(16, dtype=np.float32))
    large.publish(IndexPolicy("scan"))
    reader = Collection.open(large.directory)
    assert reader.index("images").kind == "scan"
    assert reader.index("texts").kind == "exact"
    assert reader.published().facts["images"].recall.keys() == {"image", "text"}
    large.publish_if_changed()
    assert large.catalog.state().generation == 1
    large.catalog.apply(Changes(removed=[7]))
    large.publish_if_changed()
    assert reader.index("images").kind == "scan"
    assert len(reader.index("images")) == LEAST_SCAN + 8
    large.publish_if_changed(IndexPolicy("exact"))
    assert reader.index("images").kind == "exact"


def test_verify_finds_and_repair_makes_a_damaged_publication(large: Collection) -> None:
    large.publish(IndexPolicy("scan"))
    with closing(sqlite3.connect(large.directory / "catalog.sqlite")) as connection, connection:
        connection.execute("""UPDATE state SET publication = '{"policy": 3}'""")
    findings = verify(large)
    assert "damaged" in findings.indexes[0]
    repair(large, findings)
    assert verify(large).indexes == []


@pytest.mark.parametrize("damage", [b"", b"PK", b"\x00" * 50], ids=["empty", "cut", "zeros"])
def test_verify_finds_and_repair_takes_away_damaged_texts_to_measure_with(filled: Collection, damage: bytes) -> None:
    (filled.directory / "background.bin").write_bytes(damage)
    with pytest.raises(CollectionError, match=r"background\.bin is damaged.*the next build makes it again"):
        filled.background()
    findings = verify(filled)
    assert "background.bin is damaged" in findings.indexes[0]
    repair(filled, findings)
    assert verify(filled).clean
    assert filled.background() is None
