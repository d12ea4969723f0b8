"""A catalog in a PostgreSQL database: its URL -> an engine; one writer at a time, on whichever machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    case,
    create_engine,
    event,
    func,
    inspect,
    literal_column,
    make_url,
    select,
    text,
)
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from search.errors import CollectionBusy, CollectionError
from search.places import EARTH_RADIUS_M
from search.schema import GreatCircle, fill, state

DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 10

_LOCKS = 0x5EA2C4
"""Our own among the advisory locks of a database: the first of their two numbers. The second is that of the schema,
because each schema of a database may hold a catalog."""

_CATALOG = func.hashtext(literal_column("current_schema()"))

_NO_DEGREES = 1e-100

_HOLDER = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted "
    f"AND classid = {_LOCKS} AND objid::int8 = hashtext(current_schema())::int8 & 4294967295 "
    "AND datname = current_database()"
)

_SIZE = text(
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


class PostgresDatabase:
    """Satisfies `search.database.Database`. What does not answer, or refuses, raises CollectionError."""

    def __init__(self, place: str) -> None:
        """The server need not answer yet."""
        self._place = place
        self.engine = _engine(place)

    def __str__(self) -> str:
        return self._place

    def create(self, encoder: str) -> None:
        """A catalog of which nothing was published, as an interrupted creation leaves it, is taken as it is."""
        with closing(self), self.engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCKS, _CATALOG)))
            if not inspect(connection).has_table(state.name):
                fill(connection, encoder)
            elif connection.execute(select(state.c.encoder, state.c.changes)).one() != (encoder, 0):
                raise CollectionError(
                    f"there is a catalog at {self} already: name another database, or, to open it from here, write "
                    "this URL into the file catalog.url of a directory and name that as --collection"
                )

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """The lock is a session's. When that ends early, as the server goes, nothing more is written."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
            if not session.execute(select(func.pg_try_advisory_lock(_LOCKS, _CATALOG))).scalar():
                holder = session.execute(_HOLDER).scalar() or "another process"
                raise CollectionBusy(f"the catalog at {self} is being written by {holder}; wait for it, or stop it")

            def holds(_connection: Connection) -> None:
                session.execute(select(1))

            event.listen(self.engine, "begin", holds)
            try:
                yield
            finally:
                event.remove(self.engine, "begin", holds)
                if not session.invalidated:  # the lock is not gone yet
                    session.execute(select(func.pg_advisory_unlock(_LOCKS, _CATALOG)))
                    session.invalidate()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCKS, _CATALOG)))
            yield connection

    def size_bytes(self) -> int:
        """Of all tables of the catalog with their indexes."""
        with self.engine.connect() as connection:
            return int(connection.execute(_SIZE).scalar_one())

    def damage(self) -> list[str]:
        """Nothing: a server checks its pages itself, and never has a row without the one that it belongs to."""
        return []


def url_of(place: str) -> URL:
    """The URL of a catalog. Raises CollectionError for any other, and for one with a password."""
    try:
        url = make_url(place)
    except ArgumentError:
        url = URL.create("no")
    if url.drivername not in (DRIVER, "postgresql"):
        raise CollectionError(f"{place!r} is not the URL of a catalog; write {DRIVER}://user@host/database")
    if url.password or "password" in url.query:
        raise CollectionError(
            "the URL of the catalog holds a password, which would be stored with the collection: leave it out, and "
            "give it in PGPASSWORD or in ~/.pgpass, as to psql"
        )
    return url.set(drivername=DRIVER)


def _engine(place: str) -> Engine:
    url = url_of(place)
    ours = {
        "application_name": f"image search, process {os.getpid()} on {socket.gethostname()}",
        "connect_timeout": CONNECT_TIMEOUT_S,
    }
    asked = {name: value for name, value in ours.items() if name not in url.query}
    try:
        from search.copy_rows import execute
    except ModuleNotFoundError as error:
        raise CollectionError(
            "a catalog in PostgreSQL needs the package psycopg: pip install 'text-image-search[postgres]'"
        ) from error
    engine = create_engine(url, connect_args=asked, pool_pre_ping=True)
    event.listen(engine, "do_execute", execute)

    @event.listens_for(engine, "handle_error")
    def tell(context: ExceptionContext) -> None:
        if isinstance(context.sqlalchemy_exception, OperationalError) and not context.is_pre_ping:
            raise CollectionError(
                f"the catalog at {place} is out of reach: {_first_line(context.original_exception)}; when the server "
                "is in order, run the same again: what was written is kept"
            ) from context.original_exception

    return engine


@compiles(GreatCircle, "postgresql")
def _great_circle(places: GreatCircle, compiler: SQLCompiler, **options: Any) -> str:
    """search.places.great_circle_m in SQL."""
    latitude, longitude, other_latitude, other_longitude = places.clauses
    north, other_north = _radians(latitude), _radians(other_latitude)
    along = func.power(func.sin((other_north - north) * _number(0.5)), _number(2))
    across = func.power(func.sin(_radians(other_longitude - longitude) * _number(0.5)), _number(2))
    between = along + func.cos(north) * func.cos(other_north) * across
    least = case((between > _number(1), _number(1)), else_=between)  # LEAST would pass a NULL over
    return compiler.process(_number(2 * EARTH_RADIUS_M) * func.asin(func.sqrt(least)), **options)


def _radians(degrees: ColumnElement[float]) -> ColumnElement[float]:
    """Nothing is left of what is so small that its square, or what it is multiplied by, would be an error."""
    return func.radians(case((func.abs(degrees) < _number(_NO_DEGREES), _number(0)), else_=degrees))


def _number(value: float) -> ColumnElement[float]:
    return literal_column(f"{value!r}::float8", Double)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
