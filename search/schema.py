"""The catalog's tables. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError

from search.errors import CollectionError
from search.places import great_circle_m

SCHEMA_VERSION = "0004"
"""The newest revision in search/migrations."""

BUSY_TIMEOUT_S = 30

_PAGE_BYTES = 16_384
"""SQLite's own 4,096 hold one vector of 512 dimensions, and nearly half of the page is left."""

_ESCAPE = "\x1a"
_UNSTORABLE = re.compile(f"[{_ESCAPE}\udc80-\udcff]")
_ESCAPED = re.compile(f"{_ESCAPE}([0-9a-f]{{2}})")


class FilePath(TypeDecorator[str]):
    """A path as text that every database takes, in the order of its characters.

    A file name need not be UTF-8. Python holds the odd bytes as lone surrogates (PEP 383), which no database stores;
    here each becomes the control character SUB and two hex digits, and SUB itself likewise, so nothing is ambiguous.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return value and _UNSTORABLE.sub(lambda found: f"{_ESCAPE}{ord(found[0]) & 0xFF:02x}", value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> str | None:
        return value and _ESCAPED.sub(lambda found: _unescape(int(found[1], 16)), value)


def _unescape(byte: int) -> str:
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)


metadata = MetaData()

_column: Callable[..., Column[Any]] = partial(Column, nullable=False)
alembic_version = Table("alembic_version", metadata, _column("version_num", String(32), primary_key=True))
"""Alembic's own table: the revision that this catalog is at."""

images = Table(
    "images",
    metadata,
    _column("id", Integer, primary_key=True),
    _column("path", FilePath, unique=True),
    _column("size_bytes", BigInteger),
    _column("mtime_ns", BigInteger),
    _column("captions_stamp", BigInteger),
    _column("digest", LargeBinary, index=True),
    _column("width", Integer),
    _column("height", Integer),
    _column("format", String),
    Column("taken_at", DateTime),
    Column("camera", String),
    Column("lens", String),
    Column("latitude", Double),
    Column("longitude", Double),
    Column("caption", String),
    _column("vector", LargeBinary),
    Index("images_stamp", "path", "size_bytes", "mtime_ns", "captions_stamp"),
    sqlite_autoincrement=True,
)
"""A row for each file. Vectors are float32, little-endian. Changed content gets a new row: an id means one picture."""

texts = Table(
    "texts",
    metadata,
    _column("id", Integer, primary_key=True),
    _column("image_id", ForeignKey("images.id", ondelete="CASCADE"), index=True),
    _column("text", String, index=True),
    _column("vector", LargeBinary),
    sqlite_autoincrement=True,
)
"""One caption of one image, from the file or from beside it, with its vector."""

labels = Table(
    "labels",
    metadata,
    _column("id", Integer, primary_key=True),
    _column("name", String, unique=True),
    _column("threshold", Double),
    _column("sensitive", Boolean),
    _column("vector", LargeBinary),
)
"""What images are tagged by: a label, its class vector (float32, little-endian), and from which probability on."""

tags = Table(
    "tags",
    metadata,
    _column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    _column("label_id", ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True, index=True),
    _column("probability", Double),
    sqlite_with_rowid=False,
)
"""A label that an image has, and its probability for it among all labels."""

local_features = Table(
    "local_features",
    metadata,
    _column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    _column("record", LargeBinary),
)
"""The local features of one image, as search.local_features packs them: an edited copy is told by them."""

failures = Table(
    "failures",
    metadata,
    _column("path", FilePath, primary_key=True),
    _column("size_bytes", BigInteger),
    _column("mtime_ns", BigInteger),
    _column("max_pixels", BigInteger),
    _column("reason", String),
    _column("failed_at", DateTime),
)
"""A file that could not be indexed; it is tried again when it changes or the pixel limit grows."""

roots = Table(
    "roots",
    metadata,
    _column("path", FilePath, primary_key=True),
    _column("exclude", JSON),
    _column("include_hidden", Boolean),
)
"""A folder that the collection follows, and how it is walked."""

runs = Table(
    "runs",
    metadata,
    _column("id", Integer, primary_key=True),
    _column("started_at", DateTime),
    _column("report", JSON),
)
"""What a build that changed something reported."""

state = Table(
    "state",
    metadata,
    _column("id", Integer, primary_key=True),
    _column("encoder", String),
    _column("changes", Integer, default=0),
    _column("generation", Integer, default=0),
    _column("published_changes", Integer, default=0),
    _column("tag_changes", Integer, default=0),
    _column("tagged_to", Integer, default=0),
    Column("logit_scale", Double),
)
"""One row: whose vectors these are, how often they changed, and which generation of the index is live.

`changes` counts the transactions that changed any vector; `published_changes` is its value at the last publication.
`tag_changes` counts those that changed tags, which the images up to the id `tagged_to` have been given.
`logit_scale` is the encoder's where there are labels, and makes probabilities of cosines.
"""


def connect(file: Path) -> Engine:
    """An engine for the SQLite file, which need not exist. A commit is on the disk when it returns."""
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


def create_tables(file: Path, encoder: str) -> None:
    """Write a catalog without rows; `encoder` is the identity of the collection's encoder as JSON."""
    engine = connect(file)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA page_size={_PAGE_BYTES}")
        metadata.create_all(connection)
        connection.execute(insert(alembic_version).values(version_num=SCHEMA_VERSION))
        connection.execute(insert(state).values(id=1, encoder=encoder))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()


def schema_version(engine: Engine, file: Path) -> str:
    """The schema of a catalog, "" before the first; CollectionError where there is none."""
    try:
        with engine.connect() as connection:
            return connection.execute(select(alembic_version.c.version_num)).scalar() or ""
    except DatabaseError as error:
        raise CollectionError(f"{file} is not a catalog ({error.orig}); name another --collection") from error


def damage(engine: Engine) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    with engine.connect() as connection:
        report = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        orphans = [f"orphan row: {tuple(row)}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
    return [line for line in report if line != "ok"] + orphans
