"""The packed local features of images, in SQL; every method is one transaction."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, bindparam, delete, func, select, update

from search.apply import add_features
from search.bulk import parts
from search.errors import CollectionError
from search.schema import images, local_features, state

HEAD_BYTES = 1028
"""Those of a record beside its keypoints, of which each takes KEYPOINT_BYTES."""

KEYPOINT_BYTES = 70


_ROWS = 1_000
_RECORDS = select(local_features.c.image_id, local_features.c.record, local_features.c.checksum)


class FeatureTotals(NamedTuple):
    """How many images have a record, and the bytes of all records."""

    images: int
    size_bytes: int

    @property
    def descriptors(self) -> int:
        """How many keypoints are in the records."""
        return (self.size_bytes - HEAD_BYTES * self.images) // KEYPOINT_BYTES


class Missing(NamedTuple):
    """An image without a record: where its file was, and the digest of that."""

    id: int
    path: str
    digest: bytes


class FeatureRecords:
    """What a catalog keeps of the local features of its images. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, image_ids: Sequence[int]) -> dict[int, bytes]:
        """The records of those of the images that have one. CollectionError for one that is damaged."""
        found: dict[int, bytes] = {}
        with self._engine.connect() as connection:
            for some in parts(image_ids):
                rows = connection.execute(_RECORDS.where(local_features.c.image_id.in_(some)))
                found.update((image_id, _whole(image_id, record, checksum)) for image_id, record, checksum in rows)
        return found

    def damaged(self) -> list[int]:
        """The images whose record is not what was written."""
        found: list[int] = []
        after = 0
        with self._engine.connect() as connection:
            some = _RECORDS.order_by(local_features.c.image_id).limit(_ROWS)
            while rows := connection.execute(some.where(local_features.c.image_id > after)).all():
                found += [image_id for image_id, record, checksum in rows if zlib.crc32(record) != checksum]
                after = rows[-1].image_id
        return found

    def remove(self, image_ids: Sequence[int]) -> None:
        """Forget the records of these images; their index is out of date after this."""
        with self._engine.begin() as connection:
            rows = [{"image": image_id} for image_id in image_ids]
            connection.execute(delete(local_features).where(local_features.c.image_id == bindparam("image")), rows)
            connection.execute(update(state).values(changes=state.c.changes + 1))

    def missing(self) -> list[Missing]:
        """The images that have no record though they came from a file."""
        without = (
            select(images.c.id, images.c.path, images.c.digest).outerjoin(local_features).where(images.c.digest != b"")
        )
        with self._engine.connect() as connection:
            rows = connection.execute(without.where(local_features.c.image_id.is_(None)).order_by(images.c.id))
            return [Missing(*row) for row in rows]

    def add(self, records: Mapping[int, bytes]) -> None:
        """Keep the records of images that have none; their index is out of date after this."""
        if not records:
            return
        with self._engine.begin() as connection:
            add_features(connection, records)
            connection.execute(update(state).values(changes=state.c.changes + 1))

    def ids(self) -> NDArray[np.int64]:
        """The images that have any keypoint, ascending."""
        some = func.length(local_features.c.record) > HEAD_BYTES
        columns = select(local_features.c.image_id).where(some).order_by(local_features.c.image_id)
        with self._engine.connect() as connection:
            return np.fromiter(connection.execute(columns).scalars(), np.int64)

    def any(self) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(local_features.c.image_id).limit(1)).first() is not None

    def totals(self) -> FeatureTotals:
        size = func.coalesce(func.sum(func.length(local_features.c.record)), 0)
        with self._engine.connect() as connection:
            return FeatureTotals(*connection.execute(select(func.count(), size).select_from(local_features)).one())


def _whole(image_id: int, record: bytes, checksum: int) -> bytes:
    """`record` if it is what was written."""
    if zlib.crc32(record) != checksum:
        raise CollectionError(
            f"the local features of id:{image_id} are damaged: verify --repair takes them out, update makes them again"
        )
    return record
