"""The catalog's tables. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    insert,
)
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeEngine

SCHEMA_VERSION = "0007"
"""The newest revision in search/migrations."""

IN_BYTES = "in_bytes"
"""The execution option of a query for many vectors: PostgreSQL sends them as they are, and not in hex digits."""

_NO_CHARACTER = "\ufffd"
_ESCAPE = "\x1a"
_UNSTORABLE = re.compile(f"[{_ESCAPE}\udc80-\udcff]")
_UNSTORABLE_IN_POSTGRESQL = re.compile(f"[{_ESCAPE}\0\udc80-\udcff]")
_ESCAPED = re.compile(f"{_ESCAPE}([0-9a-f]{{2}})")


Id = BigInteger().with_variant(Integer, "sqlite")  # which numbers the rows of an INTEGER alone


class Text(TypeDecorator[str]):
    """Text in the order of its characters, whatever the language of the database; PostgreSQL holds no NUL in it."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return String(collation="C") if dialect.name == "postgresql" else String()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value.replace("\0", _NO_CHARACTER) if value and dialect.name == "postgresql" else value


class FilePath(Text):
    """A path as text that every database takes.

    A file name need not be UTF-8. Python holds the odd bytes as lone surrogates (PEP 383), which no database stores;
    here each becomes the control character SUB and two hex digits, and SUB itself likewise, so nothing is ambiguous;
    for PostgreSQL so does the NUL that an imported path may have.
    """

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        odd = _UNSTORABLE_IN_POSTGRESQL if dialect.name == "postgresql" else _UNSTORABLE
        return value and odd.sub(lambda found: f"{_ESCAPE}{ord(found[0]) & 0xFF:02x}", value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> str | None:
        return value and _ESCAPED.sub(lambda found: _unescape(int(found[1], 16)), value)


class GreatCircle(GenericFunction[float]):
    """Meters between two places in degrees: search.places.great_circle_m, as each database has it."""

    name = "great_circle_m"
    type = Double()
    inherit_cache = True


def _unescape(byte: int) -> str:
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)


metadata = MetaData()

_column: Callable[..., Column[Any]] = partial(Column, nullable=False)
alembic_version = Table("alembic_version", metadata, _column("version_num", String(32), primary_key=True))
"""Alembic's own table: the revision that this catalog is at."""

images = Table(
    "images",
    metadata,
    _column("id", Id, primary_key=True),
    _column("path", FilePath, unique=True),
    _column("size_bytes", BigInteger),
    _column("mtime_ns", BigInteger),
    _column("captions_stamp", BigInteger),
    _column("digest", LargeBinary, index=True),
    _column("width", Integer),
    _column("height", Integer),
    _column("format", Text),
    Column("taken_at", DateTime),
    Column("camera", Text),
    Column("lens", Text),
    Column("latitude", Double),
    Column("longitude", Double),
    Column("caption", Text),
    _column("vector", LargeBinary),
    _column("checksum", BigInteger),
    Index("images_stamp", "path", "size_bytes", "mtime_ns", "captions_stamp"),
    Index("images_facts", "taken_at", "format", "camera", "width", "height", "latitude", "longitude"),
    sqlite_autoincrement=True,
)
"""A row for each file. Vectors are float32, little-endian. Changed content gets a new row: an id means one picture.

Filters read `images_facts` alone, and not the rows, of which most is the vector.

`checksum` is the crc32 of the stored vector, here and in `texts`, and of the record in `local_features`: who reads one
compares it. Paths, captions and what filters ask for stand in indexes too, which `PRAGMA integrity_check` compares.
"""

texts = Table(
    "texts",
    metadata,
    _column("id", Id, primary_key=True),
    _column("image_id", ForeignKey("images.id", ondelete="CASCADE"), index=True),
    _column("text", Text),
    _column("vector", LargeBinary),
    _column("checksum", BigInteger),
    Index("ix_texts_text", "text", postgresql_using="hash"),  # its trees take no long text
    sqlite_autoincrement=True,
)
"""One caption of one image, from the file or from beside it, with its vector."""

labels = Table(
    "labels",
    metadata,
    _column("id", Id, primary_key=True),
    _column("name", Text, unique=True),
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
    _column("checksum", BigInteger),
)
"""The local features of one image, as search.local_features packs them: an edited copy is told by them."""

failures = Table(
    "failures",
    metadata,
    _column("path", FilePath, primary_key=True),
    _column("size_bytes", BigInteger),
    _column("mtime_ns", BigInteger),
    _column("max_pixels", BigInteger),
    _column("reason", Text),
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
    _column("id", Id, primary_key=True),
    _column("started_at", DateTime),
    _column("report", JSON),
)
"""What a build that changed something reported."""

state = Table(
    "state",
    metadata,
    _column("id", Id, primary_key=True),
    _column("encoder", Text),
    _column("changes", Integer, default=0),
    _column("generation", Integer, default=0),
    _column("published_changes", Integer, default=0),
    _column("tag_changes", Integer, default=0),
    _column("tagged_to", Id, default=0),
    Column("logit_scale", Double),
    Column("publication", JSON(none_as_null=True)),
)
"""One row: whose vectors these are, how often they changed, and which generation of the index is live.

`changes` counts the transactions that changed any vector; `published_changes` is its value at the last publication.
`tag_changes` counts those that changed tags, which the images up to the id `tagged_to` have been given.
`publication` is what is known of the live indexes, with the seals of their files (search/kinds.py).
`logit_scale` is the encoder's where there are labels, and makes probabilities of cosines.
"""


def fill(connection: Connection, encoder: str) -> None:
    """Make the tables of a catalog without rows; `encoder` is the identity of the collection's encoder as JSON."""
    metadata.create_all(connection)
    connection.execute(insert(alembic_version).values(version_num=SCHEMA_VERSION))
    connection.execute(insert(state).values(id=1, encoder=encoder))
