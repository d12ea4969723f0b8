"""A build's changes -> SQL, inside a transaction that the catalog opened."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Insert, Table, bindparam, delete, func, insert, select, update

from search.changes import STORED, Caption, Changes, Failure, FileStamp, NewImage, StoredVector
from search.schema import FilePath, failures, images, local_features, state, texts
from search.types import Facts


def apply(connection: Connection, changes: Changes) -> None:
    """Write all of `changes`; rows go before others take their paths."""
    _remove(connection, changes.removed)
    _restamp(connection, changes.restamped)
    _recaption(connection, changes.recaptioned)
    _add(connection, changes.added)
    _fail(connection, changes)
    if changes.touch_vectors:
        connection.execute(update(state).values(changes=state.c.changes + 1))


def insert_all(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows and connection.dialect.name == "postgresql":
        from search.copy_rows import copy_rows  # needs its driver

        copy_rows(connection, table, rows)
    elif rows:
        connection.execute(insert(table), rows)


def insert_numbered(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
    """The new ids of the rows, in their order."""
    if connection.dialect.name == "postgresql":
        from search.copy_rows import next_ids

        ids = next_ids(connection, table, len(rows))
        insert_all(connection, table, [{"id": id_, **row} for id_, row in zip(ids, rows, strict=True)])
        return ids
    return connection.execute(insert(table).returning(table.c.id, sort_by_parameter_order=True), rows).scalars().all()


def _remove(connection: Connection, ids: Sequence[int]) -> None:
    if ids:
        rows = [{"row": row} for row in ids]
        connection.execute(delete(images).where(images.c.id == bindparam("row")), rows)


def _restamp(connection: Connection, restamped: dict[int, FileStamp]) -> None:
    if restamped:
        rows = [{"row": row, **asdict(stamp)} for row, stamp in restamped.items()]
        connection.execute(update(images).where(images.c.id == bindparam("row")), rows)


def _recaption(connection: Connection, recaptioned: dict[int, Sequence[Caption]]) -> None:
    for image_id, captions in recaptioned.items():
        connection.execute(delete(texts).where(texts.c.image_id == image_id))
        insert_all(connection, texts, _caption_rows(image_id, captions))


def _add(connection: Connection, added: Sequence[NewImage]) -> None:
    if not added:
        return
    rows = [
        {**_values(image.stamp), **_values(image.facts), "digest": image.digest, **_stored(image.vector)}
        for image in added
    ]
    ids = insert_numbered(connection, images, rows)
    _add_features(connection, dict(zip(ids, added, strict=True)))
    captions = [row for id_, image in zip(ids, added, strict=True) for row in _caption_rows(id_, image.captions)]
    insert_all(connection, texts, captions)


def _add_features(connection: Connection, added: dict[int, NewImage]) -> None:
    add_features(connection, {id_: image.features for id_, image in added.items() if image.features})
    if any(image.digest and not image.features for image in added.values()):
        connection.execute(_features_of_copies(min(added), max(added)))


def add_features(connection: Connection, records: Mapping[int, bytes]) -> None:
    """Keep the packed local features of images that have none."""
    rows = [{"image_id": id_, "record": record, "checksum": zlib.crc32(record)} for id_, record in records.items()]
    insert_all(connection, local_features, rows)


def _features_of_copies(first: int, last: int) -> Insert:
    """Give those of the images from one id up to another that have none the features of the same content."""
    new, described, own = images.alias(), local_features.alias(), local_features.alias()
    contents = select(new.c.digest).where(new.c.id.between(first, last), new.c.digest != b"")
    known = (
        select(images.c.digest, func.min(local_features.c.image_id).label("image_id"))
        .join(local_features)
        .where(images.c.digest.in_(contents))
        .group_by(images.c.digest)
        .subquery()
    )
    copies = (
        select(new.c.id, described.c.record, described.c.checksum)
        .join(known, known.c.digest == new.c.digest)
        .join(described, described.c.image_id == known.c.image_id)
        .outerjoin(own, own.c.image_id == new.c.id)
        .where(new.c.id.between(first, last), own.c.image_id.is_(None))
    )
    return insert(local_features).from_select(["image_id", "record", "checksum"], copies)


def _fail(connection: Connection, changes: Changes) -> None:
    """Forget the failures of all files that are spoken of, then record the new ones."""
    stamps = [failure.stamp for failure in changes.failed] + [image.stamp for image in changes.added]
    stamps += changes.restamped.values()
    paths = [*(stamp.path for stamp in stamps), *changes.forgotten_failures]
    if paths:
        by_path = delete(failures).where(failures.c.path == bindparam("failed", type_=FilePath))
        connection.execute(by_path, [{"failed": path} for path in paths])
    insert_all(connection, failures, [_failure_row(failure) for failure in changes.failed])


def _values(record: FileStamp | Facts) -> dict[str, Any]:
    """The fields by name: dataclasses.asdict copies each value, which shows in a million rows."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _caption_rows(image_id: int, captions: Sequence[Caption]) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "text": caption.text, **_stored(caption.vector)} for caption in captions]


def _failure_row(failure: Failure) -> dict[str, Any]:
    stamp = failure.stamp
    return {
        "path": stamp.path,
        "size_bytes": stamp.size_bytes,
        "mtime_ns": stamp.mtime_ns,
        "max_pixels": failure.max_pixels,
        "reason": failure.reason,
        "failed_at": failure.failed_at,
    }


def _stored(vector: StoredVector) -> dict[str, Any]:
    stored = vector.astype(STORED).tobytes()
    return {"vector": stored, "checksum": zlib.crc32(stored)}
