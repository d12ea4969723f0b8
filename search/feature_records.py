"""The packed local features of images, in SQL; every method is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, func, select, update

from search.apply import insert_all
from search.bulk import SQL_VARIABLES, ImageFile, image_files
from search.schema import images, local_features, state

HEAD_BYTES = 1028
"""Those of a record beside its keypoints, of which each takes KEYPOINT_BYTES."""

KEYPOINT_BYTES = 70


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
        """The records of those of the images that have one."""
        columns = select(local_features.c.image_id, local_features.c.record)
        found: dict[int, bytes] = {}
        with self._engine.connect() as connection:
            for start in range(0, len(image_ids), SQL_VARIABLES):
                some = image_ids[start : start + SQL_VARIABLES]
                rows = connection.execute(columns.where(local_features.c.image_id.in_(some)))
                found.update((image_id, record) for image_id, record in rows)
        return found

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
            rows = [{"image_id": image_id, "record": record} for image_id, record in records.items()]
            insert_all(connection, local_features, rows)
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

    def image_files(self) -> list[ImageFile]:
        """Every image of the catalog, in the order of ids, with a record or without."""
        return image_files(self._engine)

    def totals(self) -> FeatureTotals:
        size = func.coalesce(func.sum(func.length(local_features.c.record)), 0)
        with self._engine.connect() as connection:
            return FeatureTotals(*connection.execute(select(func.count(), size).select_from(local_features)).one())
