"""Damaged files, full and read-only disks, migrations that fail: one line says so, and the catalog is as it was."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from alembic.util import CommandError
from sqlalchemy import exc

from indexer.cli import main
from search.catalog import Catalog
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import CollectionBusy, CollectionError, DiskFull
from search.migrate import upgrade
from search.schema import SCHEMA_VERSION
from search.sqlite import SqliteFile, backup_of, copy
from search.types import EncoderIdentity, Facts
from search.verify import verify

IDENTITY = EncoderIdentity("m", "a", "0" * 64, 64, "p")


def rows(count: int, first: int = 0) -> list[NewImage]:
    vectors = np.random.default_rng(first).standard_normal((count, IDENTITY.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        NewImage(FileStamp(f"/p/{number}.jpg", 1, 1), number.to_bytes(32), Facts(1, 1, "JPEG"), vector)
        for number, vector in enumerate(vectors, first)
    ]


def contents(file: Path) -> list[str]:
    with sqlite3.connect(file) as connection:
        dump = list(connection.iterdump())
    connection.close()
    return dump


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Catalog.create(tmp_path / "catalog.sqlite", IDENTITY)
    catalog = Catalog.open(tmp_path / "catalog.sqlite")
    catalog.apply(Changes(added=rows(200)))
    catalog.close()
    return tmp_path / "catalog.sqlite"


def test_a_damaged_page_is_one_error_that_says_what_to_do(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)
    catalog = Catalog.open(file) if _opens(file) else None
    if catalog:
        with pytest.raises(CollectionError, match=r"is damaged .* restore a snapshot"):
            catalog.paths()
        assert catalog.damage()


def _opens(file: Path) -> bool:
    try:
        Catalog.open(file).close()
    except CollectionError as error:
        assert "is damaged" in str(error) or "is not a catalog" in str(error)
        return False
    return True


def test_a_table_whose_definition_is_damaged_is_said_to_be(file: Path) -> None:
    whole = file.read_bytes()
    assert b"REFERENCES images (id)" in whole
    file.write_bytes(whole.replace(b"REFERENCES images (id)", b"REFERENCES images (ie)"))
    catalog = Catalog.open(file)
    assert "is not a catalog, or no more (foreign key mismatch" in catalog.damage()[0]
    with pytest.raises(CollectionError, match=r"foreign key mismatch.*restore a snapshot"):
        catalog.apply(Changes(removed=[1]))
    catalog.close()


@pytest.mark.parametrize("change", ["DELETE FROM state", "INSERT INTO state SELECT 2, encoder, {others} FROM state"])
def test_a_state_that_is_gone_or_there_twice_is_said_to_be_damaged(file: Path, change: str) -> None:
    with sqlite3.connect(file) as connection:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(state)")]
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert columns[:2] == ["id", "encoder"]
        others = ["generation + 1" if name == "generation" else name for name in columns[2:]]
        connection.execute(change.format(others=", ".join(others)))
    connection.close()
    catalog = Catalog.open(file)
    for ask in (catalog.state, catalog.publication, catalog.identity, lambda: catalog.tags.hidden("images")):
        with pytest.raises(CollectionError, match=r"is damaged, what is in it cannot be read"):
            ask()
    catalog.close()


@pytest.mark.parametrize("size_bytes", [0, 1, 99, 100, 4096, 5000])
def test_a_catalog_whose_tail_is_cut_is_refused_when_it_is_opened_or_by_its_damage(file: Path, size_bytes: int) -> None:
    os.truncate(file, size_bytes)
    if _opens(file):
        assert Catalog.open(file).damage()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*words: object) -> tuple[int, str]:
        code = main([str(word) for word in words])
        return code, capsys.readouterr().err

    return run


def vectors_in(folder: Path, count: int) -> Path:
    """An export of so many vectors."""
    collection = Collection.create(folder / "whole", IDENTITY)
    collection.catalog.apply(Changes(added=rows(count)))
    collection.publish()
    assert main(["export", str(folder / "out"), "--collection", str(collection.directory)]) == 0
    return folder / "out"


def test_a_full_disk_loses_nothing_and_the_next_run_goes_on(
    tmp_path: Path, small_disk: Path, run: Callable[..., tuple[int, str]]
) -> None:
    out, place = vectors_in(tmp_path, 6_000), small_disk / "collection"
    code, told = run("import", out, "--collection", place)
    assert code == 2
    assert "is full: finished work is kept; make room" in told or "No space left on device" in told
    assert told.rstrip().splitlines()[-1].startswith("error: ")
    held = Collection.open(place).catalog.counts()["images"]
    assert held in (0, 4096)
    remount(small_disk, "size=20m")
    assert run("import", out, "--collection", place)[0] == 0
    collection = Collection.open(place)
    assert collection.catalog.counts()["images"] == 6_000
    assert verify(collection).clean


def test_a_disk_too_full_to_publish_keeps_the_live_index(
    tmp_path: Path, small_disk: Path, run: Callable[..., tuple[int, str]]
) -> None:
    remount(small_disk, "size=2m")
    collection = Collection.create(small_disk / "collection", IDENTITY)
    collection.catalog.apply(Changes(added=rows(100)))
    collection.publish()
    collection.catalog.apply(Changes(added=rows(100, first=100)))
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize - 20_000))
    with pytest.raises(DiskFull, match=r"cannot be written, the index before it stays: .*No space left"):
        collection.publish()
    reader = Collection.open(collection.directory)
    assert len(reader.index("images")) == 100
    filler.unlink()
    collection.publish()
    assert len(reader.index("images")) == 200
    assert verify(reader).clean


def test_a_disk_that_may_only_be_read_is_read_and_who_writes_is_told(
    tmp_path: Path, small_disk: Path, run: Callable[..., tuple[int, str]]
) -> None:
    remount(small_disk, "size=2m")
    collection = Collection.create(small_disk / "collection", IDENTITY)
    collection.catalog.apply(Changes(added=rows(30)))
    collection.publish()
    collection.close()
    remount(small_disk, "ro")
    for words in (["verify"], ["status"], ["export", tmp_path / "out"], ["export", tmp_path / "whole", "--snapshot"]):
        assert run(*words, "--collection", collection.directory)[0] == 0
    for words in (["remove", "/p/1.jpg"], ["update"], ["verify", "--repair"]):
        code, told = run(*words, "--collection", collection.directory)
        assert (code, told.count("\n")) == (2, 1)
        assert "may only be read" in told and str(collection.directory) in told
    remount(small_disk, "rw")
    assert run("verify", "--collection", collection.directory)[0] == 0


def test_what_was_not_closed_cleanly_is_not_read_where_it_may_only_be_read(file: Path, small_disk: Path) -> None:
    remount(small_disk, "size=4m")
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("DELETE FROM images WHERE id = 1")
        writer.commit()
        for name in (file.name, f"{file.name}-wal"):
            shutil.copy(file.with_name(name), small_disk)
    remount(small_disk, "ro")
    with pytest.raises(CollectionError, match=r"was not closed cleanly, and .* may only be read: make it writable"):
        Catalog.open(small_disk / file.name)
    remount(small_disk, "rw")
    with closing(Catalog.open(small_disk / file.name)) as catalog:
        assert catalog.counts()["images"] == 199


def test_what_may_only_be_read_is_read_alone_and_again_when_another_has_written_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with closing(Catalog.open(file)) as reader:
        assert reader.counts()["images"] == 200
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        with pytest.raises(CollectionError, match="readonly database"):
            reader.apply(Changes(removed=[1]))
        with closing(sqlite3.connect(file)) as writer:
            writer.execute("DELETE FROM images WHERE id = 1")
            writer.commit()
        assert not file.with_name(f"{file.name}-wal").exists()
        assert reader.counts()["images"] == 199
        with closing(sqlite3.connect(file)) as writer:
            writer.execute("DELETE FROM images WHERE id = 2")
            writer.commit()
            assert reader.counts()["images"] == 198


def test_who_reads_what_may_only_be_read_shares_it_while_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, really_open = Collection.create(tmp_path / "collection", IDENTITY), os.open

    def only_to_read(file: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        return really_open(file, flags, *mode)

    with collection.writing(), monkeypatch.context() as patched:
        patched.setattr(os, "open", only_to_read)
        with pytest.raises(CollectionBusy, match=f"process {os.getpid()}"), collection.writing(to_write=False):
            pass
    monkeypatch.setattr(os, "open", only_to_read)
    with collection.writing(to_write=False), collection.writing(to_write=False):
        pass
    with pytest.raises(CollectionError, match=r"collection may only be read .*Permission denied"), collection.writing():
        pass
    (collection.directory / "build.lock").unlink()
    with collection.writing(to_write=False):
        pass


def test_a_catalog_that_another_process_writes_for_too_long_is_busy(file: Path) -> None:
    catalog, other = Catalog.open(file), sqlite3.connect(file)
    with catalog._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
        connection.commit()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CollectionBusy, match="try again"):
        catalog.apply(Changes(removed=[1]))
    other.rollback()
    other.close()
    catalog.apply(Changes(removed=[1]))
    assert catalog.counts()["images"] == 199


def test_a_copy_made_while_others_write_is_the_catalog_of_one_moment(file: Path, tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        catalog = Catalog.open(file)
        for number in range(200, 5_000):
            if done.is_set():
                break
            catalog.apply(Changes(added=rows(2, first=10 * number), removed=[number - 199]))
        catalog.close()

    writer = threading.Thread(target=write)
    writer.start()
    copies = []
    for number in range(10):
        copies.append(tmp_path / f"{number}.sqlite")
        copy(file, copies[-1])
    done.set()
    writer.join()
    for made in copies:
        catalog = Catalog.open(made)
        state, count = catalog.state(), catalog.counts()["images"]
        assert count == 200 + state.changes - 1
        assert catalog.damage() == []
        catalog.close()


def first_schema(tmp_path: Path) -> Path:
    """A catalog as the first schema was, with a table in it that a later migration wants to make."""
    file = tmp_path / "catalog.sqlite"
    database = SqliteFile(file)
    upgrade(database, to="0001")
    database.engine.dispose()
    return file


def test_a_migration_that_fails_leaves_the_catalog_as_it_was_and_is_done_again(tmp_path: Path) -> None:
    file = first_schema(tmp_path)
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE local_features (in_the_way INTEGER)")
    connection.close()
    before = contents(file)
    with pytest.raises(CollectionError, match="already exists"):
        Catalog.open(file)
    assert contents(file) == before
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE local_features")
    connection.close()
    Catalog.open(file).close()


@pytest.mark.parametrize("version", ["0001", "0003", "0005", "0006", " 007", "000'"])
def test_a_damaged_number_of_the_schema_is_refused_and_migrates_nothing(file: Path, version: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])
    connection.close()
    before = contents(file)
    with pytest.raises(CollectionError, match="is damaged, its tables are not those of the schema"):
        Catalog.open(file)
    assert contents(file) == before


def test_a_migration_keeps_the_catalog_as_it_was_beside_it(tmp_path: Path) -> None:
    file = first_schema(tmp_path)
    before = contents(file)
    Catalog.open(file).close()
    assert backup_of(file, "0001").name == "catalog-schema-0001.sqlite"
    assert contents(backup_of(file, "0001")) == before
    assert contents(file) != before
    Catalog.open(file).close()
    assert sorted(path.name for path in tmp_path.glob("*.sqlite")) == ["catalog-schema-0001.sqlite", "catalog.sqlite"]


def test_who_opens_a_catalog_that_is_being_migrated_waits_and_migrates_nothing(tmp_path: Path) -> None:
    file = first_schema(tmp_path)
    problems: list[Exception] = []

    def open_it() -> None:
        try:
            Catalog.open(file).close()
        except (CollectionError, exc.SQLAlchemyError, CommandError) as error:
            problems.append(error)

    openers = [threading.Thread(target=open_it) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert problems == []
    assert contents(backup_of(file, "0001")) != contents(file)
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(SCHEMA_VERSION,)]
    connection.close()
