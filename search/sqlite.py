"""A catalog in a file: SQLite, the default."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

from search.files import replacing
from search.places import great_circle_m
from search.schema import fill

BUSY_TIMEOUT_S = 30

_PAGE_BYTES = 16_384
"""SQLite's own 4,096 hold one vector of 512 dimensions, and nearly half of the page is left."""

_SUFFIXES = ("", "-wal", "-shm")
"""Of the file itself and those of its journal."""


class SqliteFile:
    """Satisfies `search.database.Database`. A commit is on the disk when it returns."""

    def __init__(self, file: Path) -> None:
        """The file need not exist."""
        self._file = file
        self.engine = _engine(file)

    def __str__(self) -> str:
        return str(self._file)

    def create(self, encoder: str) -> None:
        with replacing(self._file) as aside:
            aside.unlink(missing_ok=True)
            engine = _engine(aside)
            with engine.begin() as connection:
                connection.exec_driver_sql(f"PRAGMA page_size={_PAGE_BYTES}")
                fill(connection, encoder)
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            engine.dispose()

    def sole_writer(self) -> AbstractContextManager[None]:
        """Who writes to the file holds the lock of its collection."""
        return nullcontext()

    def size_bytes(self) -> int:
        """Of the file, with its journal."""
        size = 0
        for suffix in _SUFFIXES:
            with suppress(FileNotFoundError):
                size += Path(f"{self._file}{suffix}").stat().st_size
        return size

    def damage(self) -> list[str]:
        with self.engine.connect() as connection:
            report = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            orphans = [f"orphan row: {tuple(row)}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
        return [line for line in report if line != "ok"] + orphans


def _engine(file: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        connection.create_function("great_circle_m", 4, _between, deterministic=True)

    return engine


def _between(latitude: float | None, longitude: float | None, *other: float) -> float | None:
    """great_circle_m, and NULL where a place is not known."""
    return None if latitude is None or longitude is None else great_circle_m(latitude, longitude, *other)
