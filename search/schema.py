"""The catalog's tables. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    TypeDecorator,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from search.errors import CollectionError
from search.places import great_circle_m

SCHEMA_VERSION = "0003"
"""The newest revision in search/migrations."""

BUSY_TIMEOUT_S = 30

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


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012  (SQLAlchemy's own interface)


class SchemaVersion(Base):
    """Alembic's own table: the revision that this catalog is at."""

    __tablename__ = "alembic_version"

    version_num: Mapped[str] = mapped_column(String(32), primary_key=True)


class ImageRow(Base):
    """One file. Its vector is float16, little-endian. A changed content gets a new row, so an id means one picture."""

    __tablename__ = "images"
    __table_args__ = (
        Index("images_stamp", "path", "size_bytes", "mtime_ns", "captions_stamp"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(FilePath, unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    captions_stamp: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str]
    taken_at: Mapped[datetime | None]
    camera: Mapped[str | None]
    lens: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    caption: Mapped[str | None]
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class TextRow(Base):
    """One caption of one image, from the file or from beside it, with its vector."""

    __tablename__ = "texts"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(index=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class LabelRow(Base):
    """What images are tagged by: a label, its class vector (float32, little-endian), and from which probability on."""

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    threshold: Mapped[float]
    sensitive: Mapped[bool]
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class TagRow(Base):
    """A label that an image has, and its probability for it among all labels."""

    __tablename__ = "tags"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True, index=True)
    probability: Mapped[float]


class LocalFeaturesRow(Base):
    """The local features of one image, as search.local_features packs them: an edited copy is told by them."""

    __tablename__ = "local_features"

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    record: Mapped[bytes] = mapped_column(LargeBinary)


class FailureRow(Base):
    """A file that could not be indexed; it is tried again when it changes or the pixel limit grows."""

    __tablename__ = "failures"

    path: Mapped[str] = mapped_column(FilePath, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    max_pixels: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    failed_at: Mapped[datetime]


class RootRow(Base):
    """A folder that the collection follows, and how it is walked."""

    __tablename__ = "roots"

    path: Mapped[str] = mapped_column(FilePath, primary_key=True)
    exclude: Mapped[list[str]]
    include_hidden: Mapped[bool]


class RunRow(Base):
    """What a build that changed something reported."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    report: Mapped[dict[str, Any]]


class StateRow(Base):
    """One row: whose vectors these are, how often they changed, and which generation of the index is live.

    `changes` counts the transactions that changed any vector; `published_changes` is its value at the last publication.
    `tag_changes` counts those that changed tags, which the images up to the id `tagged_to` have been given.
    `logit_scale` is the encoder's where there are labels, and makes probabilities of cosines.
    """

    __tablename__ = "state"

    id: Mapped[int] = mapped_column(primary_key=True)
    encoder: Mapped[str]
    changes: Mapped[int] = mapped_column(default=0)
    generation: Mapped[int] = mapped_column(default=0)
    published_changes: Mapped[int] = mapped_column(default=0)
    tag_changes: Mapped[int] = mapped_column(default=0)
    tagged_to: Mapped[int] = mapped_column(default=0)
    logit_scale: Mapped[float | None]


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
        Base.metadata.create_all(connection)
        connection.execute(insert(SchemaVersion).values(version_num=SCHEMA_VERSION))
        connection.execute(insert(StateRow).values(id=1, encoder=encoder))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    engine.dispose()


def schema_version(engine: Engine, file: Path) -> str:
    """The schema of a catalog, "" before the first; CollectionError where there is none."""
    try:
        with engine.connect() as connection:
            return connection.execute(select(SchemaVersion.version_num)).scalar() or ""
    except DatabaseError as error:
        raise CollectionError(f"{file} is not a catalog ({error.orig}); name another --collection") from error


def damage(engine: Engine) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    with engine.connect() as connection:
        report = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        orphans = [f"orphan row: {tuple(row)}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
    return [line for line in report if line != "ok"] + orphans
