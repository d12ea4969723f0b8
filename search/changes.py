"""What one transaction of the catalog is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from search.types import Facts

StoredVector = NDArray[np.float32]
"""A unit row: (dim,)."""

STORED = np.dtype("<f4")
"""As the catalog keeps it."""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Where a file is and how it looked when it was read: enough to see that it changed.

    `captions_stamp` is the sum of the mtime_ns of the caption files beside it, below 2**63; 0 without any.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    captions_stamp: int = 0


@dataclass(frozen=True, slots=True)
class Caption:
    text: str
    vector: StoredVector


@dataclass(frozen=True, slots=True)
class NewImage:
    """A row to add, with the captions of the picture and its packed local features.

    Without features it gets those of a row with the same content, if there are any.
    """

    stamp: FileStamp
    digest: bytes
    facts: Facts
    vector: StoredVector
    captions: Sequence[Caption] = ()
    features: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed, why, and the pixel limit that it was tried under."""

    stamp: FileStamp
    reason: str
    max_pixels: int
    failed_at: datetime


@dataclass(slots=True)
class Changes:
    """Filled by a build, applied whole: what goes, what moved, whose captions changed, what is new, what failed."""

    removed: list[int] = field(default_factory=list)
    restamped: dict[int, FileStamp] = field(default_factory=dict)
    recaptioned: dict[int, Sequence[Caption]] = field(default_factory=dict)
    added: list[NewImage] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    forgotten_failures: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, change.name) for change in fields(self))

    @property
    def touch_vectors(self) -> bool:
        """Whether the indexes are out of date after this."""
        return bool(self.removed or self.recaptioned or self.added)
