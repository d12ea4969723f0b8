"""Rows whole, many at a time: what an export writes down and an import compares with."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Row, func, select

from search.changes import STORED, FileStamp, StoredVector
from search.errors import CollectionError
from search.records import ImageFacts
from search.schema import IN_BYTES, images, texts
from search.sqlite import reading
from search.statements import FACTS, TABLES, VECTOR
from search.types import Facts, Target

SQL_VARIABLES = 10_000
"""Most values in one statement."""

_ROWS_AT_ONCE = 20_000

Value = TypeVar("Value")


class StoredImage(NamedTuple):
    """A row with its captions; vectors are (dim,) float32, little-endian. `digest` is empty where it is not known."""

    stamp: FileStamp
    digest: bytes
    facts: Facts
    vector: bytes
    captions: list[tuple[str, bytes]]


class ImageFile(NamedTuple):
    """An image as far as it can be compared with its copies. `digest` is empty where it is not known."""

    id: int
    path: str
    digest: bytes
    size_bytes: int
    mtime_ns: int
    width: int
    height: int
    format: str


class Bulk:
    """Reads of many rows of one catalog. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def files(self) -> list[ImageFile]:
        """Every image, in the order of ids."""
        columns = [images.c[name] for name in ImageFile._fields]
        with self._engine.connect() as connection:
            return [ImageFile(*row) for row in connection.execute(select(*columns).order_by(images.c.id))]

    def images(self, batch: int) -> Iterator[list[StoredImage]]:
        """Every image with all that is known of it, in the order of ids, up to `batch` at a time."""
        stamp = (images.c.path, images.c.size_bytes, images.c.mtime_ns, images.c.captions_stamp)
        columns = select(images.c.id, images.c.digest, *VECTOR["images"], *stamp, *FACTS).order_by(images.c.id)
        captions = select(texts.c.image_id, texts.c.text, *VECTOR["texts"]).order_by(texts.c.id)
        last = 0
        while True:
            with self._engine.connect() as connection:
                rows = connection.execute(columns.where(images.c.id > last).limit(batch)).all()
                if not rows:
                    return
                of_image: dict[int, list[tuple[str, bytes]]] = {}
                between = texts.c.image_id.between(rows[0].id, rows[-1].id)
                for image_id, text, vector, checksum in connection.execute(captions.where(between)):
                    of_image.setdefault(image_id, []).append((text, whole(vector, checksum, text)))
            yield [
                StoredImage(
                    FileStamp(*rest[:4]),
                    digest,
                    Facts(*rest[4:]),
                    whole(vector, checksum, rest[0]),
                    of_image.get(row_id, []),
                )
                for row_id, digest, vector, checksum, *rest in rows
            ]
            last = rows[-1].id

    def vectors(self, target: Target, after: int = 0) -> Iterator[tuple[NDArray[np.int64], list[bytes], list[int]]]:
        """The ids after `after` with their stored vectors and the crc32 that these had, in order, some at a time."""
        table = TABLES[target]
        columns = select(table.c.id, *VECTOR[target]).order_by(table.c.id).execution_options(**{IN_BYTES: True})
        while True:
            with reading(), self._engine.connect() as connection:
                rows = connection.execute(columns.where(table.c.id > after).limit(_ROWS_AT_ONCE)).all()
            if not rows:
                return
            ids, vectors, checksums = zip(*rows, strict=True)
            yield np.array(ids, np.int64), list(vectors), list(checksums)
            after = ids[-1]

    def facts(self, target: Target) -> Iterator[Sequence[Row[Any]]]:
        """The fields of ImageFacts of every image, some at a time, in any order; of texts the facts of their images."""
        columns = select(TABLES[target].c.id, *(images.c[name] for name in ImageFacts._fields[1:]))
        if target == "texts":
            columns = columns.join_from(texts, images)
        with self._engine.connect() as connection:
            yield from connection.execute(columns.execution_options(yield_per=_ROWS_AT_ONCE)).partitions()

    def present(self, ids: Sequence[int]) -> set[int]:
        """Those of the ids, which may be very many, that an image has."""
        found: set[int] = set()
        with self._engine.connect() as connection:
            for some in parts(ids):
                found.update(connection.execute(select(images.c.id).where(images.c.id.in_(some))).scalars())
        return found

    def vectors_at(self, paths: Sequence[str]) -> dict[str, bytes]:
        """The stored vectors of those paths that have a row."""
        found: dict[str, bytes] = {}
        with self._engine.connect() as connection:
            if not connection.execute(select(func.max(images.c.id))).scalar():
                return found
            for some in parts(paths):
                rows = connection.execute(select(images.c.path, images.c.vector).where(images.c.path.in_(some)))
                found.update((path, vector) for path, vector in rows)
        return found


def parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """As many values at a time as a statement takes; none of none."""
    return (values[start : start + SQL_VARIABLES] for start in range(0, len(values), SQL_VARIABLES))


def vector_of(stored: bytes, checksum: int, of: str) -> StoredVector:
    """The vector, (dim,), as it was stored; CollectionError where it is damaged."""
    return np.frombuffer(whole(stored, checksum, of), STORED)


def whole(stored: bytes, checksum: int, of: str) -> bytes:
    """`stored` if it is what was written."""
    if zlib.crc32(stored) != checksum:
        raise CollectionError(
            f"the stored vector of {of} is damaged: verify --repair takes it out, and update embeds it again"
        )
    return stored
