"""Where a catalog is -> its database: a file is SQLite's, a URL names one of PostgreSQL."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError

from search.errors import CollectionError
from search.schema import alembic_version
from search.sqlite import SqliteFile

Place = Path | str
"""A file, or a URL such as postgresql+psycopg://user@host/database."""


class Database(Protocol):
    """What differs between the databases that a catalog can be in. `str` gives its place."""

    engine: Engine

    def create(self, encoder: str) -> None:
        """Make a catalog without rows, all or nothing; `encoder` is the identity of its encoder as JSON."""
        ...

    def sole_writer(self) -> AbstractContextManager[None]:
        """Hold the catalog for writing; raises CollectionBusy when another process, on any machine, does."""
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """A transaction to migrate in, one process at a time; changes of tables are part of it."""
        ...

    def size_bytes(self) -> int: ...

    def damage(self) -> list[str]:
        """What the database itself finds wrong."""
        ...


def database_at(place: Place) -> Database:
    """The database of a catalog that is there or may be made there. CollectionError for a URL that is of none."""
    if isinstance(place, Path):
        return SqliteFile(place)
    from search.postgres import PostgresDatabase  # few have its driver

    return PostgresDatabase(place)


def schema_version(database: Database) -> str:
    """The schema of a catalog, "" before the first; CollectionError where there is none."""
    try:
        with database.engine.connect() as connection:
            return connection.execute(select(alembic_version.c.version_num)).scalar() or ""
    except DatabaseError as error:
        raise CollectionError(f"{database} is not a catalog ({error.orig}); name another --collection") from error
