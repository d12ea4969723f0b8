"""Rows, transactions, paths of any bytes, schema versions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, exc, update

from search.catalog import Catalog
from search.changes import Caption, Changes, Failure, FileStamp, NewImage
from search.classify import Classifier
from search.database import Place, database_at
from search.errors import CollectionError, SchemaTooNew
from search.filters import Filter
from search.migrate import MIGRATIONS, upgrade
from search.schema import SCHEMA_VERSION, alembic_version, metadata
from search.types import EncoderIdentity, Facts, Logits, Root
from search.vocabulary import Vocabulary

pytestmark = pytest.mark.storages

IDENTITY = EncoderIdentity("colors", "mean color", "0" * 64, 4, "8x8")
VECTOR = np.array([1, 0, 0, 0], np.float32)
FACTS = Facts(40, 30, "JPEG", datetime(2024, 6, 1, 12), "Canon EOS R5", "RF 50mm", 48.2, 16.4, "a red car")


def image(path: str, digest: bytes = b"d" * 32, captions: tuple[str, ...] = ()) -> NewImage:
    return NewImage(FileStamp(path, 10, 20, 30), digest, FACTS, VECTOR, [Caption(text, VECTOR) for text in captions])


@pytest.fixture
def place(tmp_path: Path, catalog_url: str | None) -> Place:
    """Where no catalog is."""
    return catalog_url or tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(place: Place) -> Iterator[Catalog]:
    Catalog.create(place, IDENTITY)
    catalog = Catalog.open(place)
    yield catalog
    catalog.close()


def test_a_row_comes_back_with_all_its_facts(catalog: Catalog) -> None:
    catalog.apply(Changes(added=[image("/a.jpg", captions=("red", "car"))]))
    ((path, known),) = catalog.known_files("/").items()
    assert (path, known[1:]) == ("/a.jpg", (10, 20, 30))
    assert catalog.images([known.id])[known.id].facts == FACTS
    assert catalog.stored("images", [known.id])[known.id] == pytest.approx([1, 0, 0, 0])
    assert catalog.captions([known.id]) == {known.id: ["red", "car"]}
    assert catalog.identity() == IDENTITY


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\x80", b"sub\x1a41", b"no\0file", "日本 🐶".encode(), b"a%_b"])
def test_a_path_of_any_bytes_comes_back_the_same(catalog: Catalog, name: bytes) -> None:
    path = os.fsdecode(b"/photos/" + name)
    catalog.apply(Changes(added=[image(path)]))
    assert catalog.paths() == [path]
    assert list(catalog.known_files("/photos")) == [path]


def test_a_folder_holds_what_is_at_or_below_it_and_no_more(catalog: Catalog) -> None:
    inside = ["/a/b/1.png", "/a/b/c/2.png", os.fsdecode(b"/a/b/\xff.png")]
    outside = ["/a/b.png", "/a/b-2/3.png", "/a/b0/4.png", "/a/4.png", os.fsdecode(b"/a/b\xff/5.png")]
    catalog.apply(Changes(added=[image(path) for path in inside + outside]))
    assert sorted(catalog.known_files("/a/b")) == sorted(inside)
    assert list(catalog.known_files("/a/b.png")) == ["/a/b.png"]
    assert len(catalog.known_files("/")) == len(inside + outside)


def test_a_transaction_is_all_or_nothing(catalog: Catalog) -> None:
    catalog.apply(Changes(added=[image("/a.png")]))
    before = catalog.state()
    with pytest.raises(exc.IntegrityError):
        catalog.apply(Changes(added=[image("/b.png"), image("/a.png")]))
    assert catalog.paths() == ["/a.png"]
    assert catalog.state() == before


def test_an_id_is_never_given_twice(catalog: Catalog) -> None:
    catalog.apply(Changes(added=[image("/a.png")]))
    (first,) = catalog.known_files("/").values()
    catalog.apply(Changes(removed=[first.id]))
    catalog.apply(Changes(added=[image("/a.png")]))
    (second,) = catalog.known_files("/").values()
    assert second.id > first.id


def test_captions_go_with_their_image(catalog: Catalog) -> None:
    catalog.apply(Changes(added=[image("/a.png", captions=("red",))]))
    (row,) = catalog.known_files("/").values()
    catalog.apply(Changes(removed=[row.id]))
    assert catalog.counts() == {"images": 0, "texts": 0, "failures": 0}


def test_any_number_of_ids_may_be_asked_for(catalog: Catalog) -> None:
    """As many as are near to a query alike, of which there may be any number, such as one caption of many images."""
    catalog.apply(Changes(added=[image("/a.png", captions=("red", "car")), image("/b.png")]))
    known, ids = {row.id for row in catalog.known_files("/").values()}, range(300_000)
    assert set(catalog.rows("images", ids)) == set(catalog.images(ids)) == known
    assert [set(catalog.rows("texts", ids)), set(catalog.texts(ids))] == [{1, 2}, {1, 2}]
    assert list(catalog.captions(ids).values()) == [["red", "car"]]
    assert catalog.matching_among(Filter.parse("folder:/a.png"), "images", (), ids) == {min(known)}


def test_a_moved_row_takes_the_path_of_one_that_goes(catalog: Catalog) -> None:
    catalog.apply(Changes(added=[image("/a.png", b"a" * 32), image("/b.png", b"b" * 32)]))
    a, b = (catalog.known_files("/")[path].id for path in ("/a.png", "/b.png"))
    catalog.apply(Changes(removed=[b], restamped={a: FileStamp("/b.png", 1, 2, 3)}))
    assert catalog.known_files("/") == {"/b.png": (a, 1, 2, 3)}


def test_only_changes_of_vectors_ask_for_a_publication(catalog: Catalog) -> None:
    catalog.apply(Changes(added=[image("/a.png")]))
    (row,) = catalog.known_files("/").values()
    failure = Failure(FileStamp("/x", 1, 1), "bad", 1, datetime(2026, 1, 1))
    catalog.apply(Changes(restamped={row.id: FileStamp("/b.png", 1, 2, 3)}, failed=[failure]))
    assert catalog.state().changes == 1


def test_a_failure_is_kept_until_its_file_is_added_or_forgotten(catalog: Catalog) -> None:
    failures = [Failure(FileStamp(path, 1, 1), "bad", 1, datetime(2026, 1, 1)) for path in ("/a", "/b", "/c")]
    catalog.apply(Changes(failed=failures))
    catalog.apply(Changes(failed=failures[:1], added=[image("/b")], forgotten_failures=["/c"]))
    assert [path for path, _, _ in catalog.failures()] == ["/a"]


def test_vectors_come_in_the_order_of_ids_across_batches(catalog: Catalog) -> None:
    count = 20_001
    catalog.apply(Changes(added=[image(f"/{number}.png") for number in range(count)]))
    batches = list(catalog.bulk.vectors("images"))
    assert np.concatenate([ids for ids, _, _ in batches]).tolist() == list(range(1, count + 1))
    assert len(batches) == 2


def test_followed_roots_come_back_with_their_rules(catalog: Catalog) -> None:
    roots = [Root("/a", ("x", "*.tmp"), include_hidden=True), Root(os.fsdecode(b"/\xff"))]
    catalog.follow(roots)
    assert catalog.roots() == sorted(roots, key=lambda root: root.path)


def test_pages_are_large_enough_for_some_vectors(tmp_path: Path) -> None:
    Catalog.create(tmp_path / "catalog.sqlite", IDENTITY)
    with sqlite3.connect(tmp_path / "catalog.sqlite") as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (32_768,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_newer_schema_is_refused_by_name(place: Place, catalog: Catalog) -> None:
    engine = database_at(place).engine
    with engine.begin() as connection:
        connection.execute(update(alembic_version).values(version_num="9999"))
    engine.dispose()
    with pytest.raises(SchemaTooNew, match=r"9999.*upgrade"):
        Catalog.open(place)


def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
    connection.close()
    (tmp_path / "noise.sqlite").write_bytes(b"noise" * 1000)
    for name in ("other.sqlite", "noise.sqlite"):
        with pytest.raises(CollectionError, match=f"{name} is not a catalog"):
            Catalog.open(tmp_path / name)


def test_migrations_lead_to_the_tables_of_this_release(place: Place) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION
    database = database_at(place)
    upgrade(database)
    engine = database.engine
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_rows_of_the_first_schema_come_through_the_migration(place: Place) -> None:
    engine = database_at(place).engine
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        names = ("images", "texts", "state")
        tables = {name: Table(name, MetaData(), autoload_with=connection) for name in names}
        stamp = {"path": "/a.jpg", "size_bytes": 10, "mtime_ns": 20, "captions_stamp": 30}
        halves = np.array([0.6, 0.8, 0, 0], "<f2")
        facts = {**asdict(FACTS), "digest": b"d" * 32, "vector": halves.tobytes()}
        connection.execute(tables["images"].insert().values(id=7, **stamp, **facts))
        connection.execute(tables["texts"].insert().values(id=3, image_id=7, text="red", vector=halves[:3].tobytes()))
        state = {"id": 1, "encoder": IDENTITY.to_json(), "changes": 5, "generation": 4, "published_changes": 5}
        connection.execute(tables["state"].insert().values(**state))
    engine.dispose()
    catalog = Catalog.open(place)
    assert catalog.state()[:4] == (5, 4, 5, 0)
    assert (catalog.identity(), catalog.known_files("/")) == (IDENTITY, {"/a.jpg": (7, 10, 20, 30)})
    assert (catalog.images([7])[7].facts, catalog.captions([7])) == (FACTS, {7: ["red"]})
    ((_, (widened,), _),) = catalog.bulk.vectors("images")
    assert np.array_equal(np.frombuffer(widened, "<f4"), halves)
    ((_, (damaged,), _),) = catalog.bulk.vectors("texts")
    assert damaged == halves[:3].tobytes()
    labels = Classifier(("a", "b"), np.eye(2, 4, dtype=np.float32), Logits(10.0))
    vocabulary = Vocabulary(labels, np.full(2, 0.5, np.float32), np.array([False, True]))
    catalog.tags.replace(vocabulary, [(np.array([7]), VECTOR.astype(np.float32)[np.newaxis])])
    assert [tag.name for tag in catalog.tags.of([7])[7]] == ["a"]
    catalog.apply(Changes(removed=[7]))
    assert catalog.tags.of([7]) == {}
    assert catalog.damage() == []
    catalog.close()


def test_an_older_catalog_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.close()
    assert Catalog.open(file).counts() == {"images": 0, "texts": 0, "failures": 0}
