"""A catalog in a file: SQLite, the default; errors that say plainly what is wrong with it, and copies of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, inspect, select
from sqlalchemy.exc import DisconnectionError

from search.errors import CollectionBusy, CollectionError, DiskFull
from search.files import replacing, total_bytes
from search.places import great_circle_m
from search.schema import SCHEMA_VERSION, alembic_version, fill

BUSY_TIMEOUT_S = 30

LONG_BUSY_TIMEOUT_S = 3600
"""Who opens a large catalog that another process is migrating waits for it."""

_PAGE_BYTES = 32_768
"""SQLite's own 4,096 hold one vector of 512 dimensions, with nearly half of the page left, and no 64 local features."""

_CONNECTIONS = 15
"""As many threads read at once. Connections are kept open: one that is made anew reads what others have at hand."""

_OTHER_TABLES = ("no such table", "no such column", "no such collation sequence", "foreign key mismatch")
"""What SQLite says where the definition of a table is another than it was."""

_PRIMARY = 0xFF
"""The bits of SQLite's error codes that say the kind."""


class SqliteFile:
    """Satisfies `search.database.Database`. A commit is on the disk when it returns."""

    def __init__(self, file: Path) -> None:
        """The file need not exist."""
        self.file = file
        self.engine = connect(file)

    def __str__(self) -> str:
        return str(self.file)

    def create(self, encoder: str) -> None:
        with replacing(self.file) as aside:
            aside.unlink(missing_ok=True)
            engine = connect(aside)
            with engine.begin() as connection:
                connection.exec_driver_sql(f"PRAGMA page_size={_PAGE_BYTES}")
                connection.exec_driver_sql("PRAGMA synchronous=OFF")  # the file is synced whole, at the end
                connection.exec_driver_sql("BEGIN")  # without it each table is a transaction
                fill(connection, encoder)
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            engine.dispose()

    def sole_writer(self) -> AbstractContextManager[None]:
        """Who writes to the file holds the lock of its collection."""
        return nullcontext()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """The catalog as it was stays beside it under the number of its schema, until someone deletes it."""
        with writing_alone(self.engine) as connection:
            is_catalog = inspect(connection).has_table(alembic_version.name)
            before = connection.execute(select(alembic_version.c.version_num)).scalar() if is_catalog else None
            if before and before < SCHEMA_VERSION:
                with replacing(backup_of(self.file, before)) as aside:
                    aside.unlink(missing_ok=True)
                    copy(self.file, aside)
            yield connection

    def size_bytes(self) -> int:
        """Of the file, with its journal."""
        return total_bytes(self.file.parent.glob(f"{self.file.name}*"))

    def damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        try:
            with self.engine.connect() as connection:
                report = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
                orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        except CollectionError as error:
            return [str(error)]
        return [line for line in report if line != "ok"] + [f"orphan row: {tuple(row)}" for row in orphans]


def backup_of(file: Path, schema: str) -> Path:
    """Where the catalog `file` is kept as it was under an older schema."""
    return file.with_name(f"{file.stem}-schema-{schema}{file.suffix}")


def connect(file: Path) -> Engine:
    """An engine for the SQLite file, which need not exist. A commit is on the disk when it returns.

    Where nothing may be written it reads the file alone, and again when that has changed. CollectionError says what is
    wrong with the file or its disk, CollectionBusy that another process writes too long.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        connect_args={"timeout": BUSY_TIMEOUT_S},
        pool_size=_CONNECTIONS,
        max_overflow=0,
    )

    @event.listens_for(engine, "do_connect")
    def open_alone(_dialect: object, record: Any, _arguments: object, options: dict[str, Any]) -> Any:
        record.info["alone"] = _stamp(file) if _stands_alone(file) else None
        return _alone(file, **options) if record.info["alone"] else None

    @event.listens_for(engine, "checkout")
    def compare(_connection: object, record: Any, _proxy: object) -> None:
        if (seen := record.info["alone"]) and not (_stands_alone(file) and seen == _stamp(file)):
            raise DisconnectionError(f"{file} was written since it was opened")  # makes the pool open it again

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA synchronous=FULL")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _explained(error, file) or error from error
        connection.create_function("great_circle_m", 4, _between, deterministic=True)

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, sqlite3.Error | UnicodeDecodeError) and (explained := _explained(error, file)):
            raise explained from error

    return engine


@contextmanager
def writing_alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its beginning, for which it waits; changes of tables are part of it.

    Without this Python's sqlite3 begins a transaction at the first change of a row, and tables change outside of it.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={LONG_BUSY_TIMEOUT_S * 1000}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.commit()
        finally:
            connection.invalidate()  # with its timeout


@contextmanager
def reading() -> Iterator[None]:
    """Turn values that are none, as a time or as JSON, and rows that are missing or double, into CollectionError:
    whoever wrote them wrote others.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise CollectionError(
            f"the catalog is damaged, what is in it cannot be read ({error}): restore a snapshot, or build a new one"
        ) from error


def copy(source: Path, target: Path) -> None:
    """Write the database as it is at one moment to the new file `target`, while others read and write it."""
    opened = _alone if _stands_alone(source) else sqlite3.connect
    with closing(opened(source, timeout=BUSY_TIMEOUT_S)) as old, closing(sqlite3.connect(target)) as new:
        try:
            old.backup(new)
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_FULL
            raise _explained(error, target if full else source) or error from error


def _alone(file: Path, **options: Any) -> sqlite3.Connection:
    """A connection to a file that stands alone, for which nothing beside it is read or made."""
    place = f"file://{quote_from_bytes(os.fsencode(file.absolute()))}?mode=ro&immutable=1"
    connection: sqlite3.Connection = sqlite3.connect(place, uri=True, **options)
    return connection


def _stands_alone(file: Path) -> bool:
    """Whether the file has all of the database and may not be written, nor a journal beside it."""
    may_be_written = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    return not may_be_written and file.exists() and not _journal(file).exists()


def _journal(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _stamp(file: Path) -> tuple[int, int, int]:
    """Another one when the file was written."""
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _between(latitude: float | None, longitude: float | None, *other: float) -> float | None:
    """great_circle_m, and NULL where a place is not known."""
    return None if latitude is None or longitude is None else great_circle_m(latitude, longitude, *other)


def _explained(error: sqlite3.Error | UnicodeDecodeError, file: Path) -> CollectionError | None:
    """The error with what to do; None for one that no state of the file or its disk explains.

    Damaged names of tables come back in SQLite's messages, which Python then cannot decode.
    """
    kind = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if isinstance(error, UnicodeDecodeError) or "Could not decode to UTF-8" in str(error):
        kind = sqlite3.SQLITE_CORRUPT
    if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or any(words in str(error) for words in _OTHER_TABLES):
        what = "is damaged" if kind == sqlite3.SQLITE_CORRUPT else "is not a catalog, or no more"
        return CollectionError(
            f"{file} {what} ({error}): name another --collection, restore a snapshot with python -m indexer import, "
            "or build a new one"
        )
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CollectionBusy(f"{file} was written by another process for {BUSY_TIMEOUT_S} s ({error}); try again")
    if kind == sqlite3.SQLITE_FULL:
        return DiskFull(f"the disk of {file} is full: finished work is kept; make room and run it again")
    refused = kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    if refused and _journal(file).exists() and not os.access(file.parent, os.W_OK):
        return CollectionError(
            f"{file} was not closed cleanly, and {file.parent} may only be read: make it writable, or copy it to a "
            "folder that is, and run python -m indexer status once"
        )
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
        return CollectionError(
            f"{file} cannot be opened, read or written ({error}): finished work is kept; check disk and permissions"
        )
    return None
