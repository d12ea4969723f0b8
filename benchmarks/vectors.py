"""Collections of random unit vectors, without files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.image import digest_of
from search.types import EncoderIdentity, Facts

_ROWS_A_TRANSACTION = 10_000


def same_facts(_number: int) -> Facts:
    return Facts(640, 480, "JPEG")


def make_collection(
    directory: Path, identity: EncoderIdentity, images: int, facts: Callable[[int], Facts] = same_facts
) -> None:
    """`facts` are those of each image, by its number from 0."""
    collection = Collection.create(directory, identity)
    generator = np.random.default_rng(0)
    for start in range(0, images, _ROWS_A_TRANSACTION):
        vectors = unit_rows(generator, min(_ROWS_A_TRANSACTION, images - start), identity.dim)
        rows = [
            NewImage(
                FileStamp(f"/photos/{number % 2}/{number % 20}/{number:06}.jpg", 1, 1),
                digest_of(number.to_bytes(4)),
                facts(number),
                vector,
            )
            for number, vector in enumerate(vectors, start)
        ]
        collection.catalog.apply(Changes(added=rows))
    collection.publish()
    collection.close()


def unit_rows(generator: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """(count, dim)."""
    rows: NDArray[np.float32] = generator.normal(size=(count, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
