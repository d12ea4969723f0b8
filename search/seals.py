"""A file that was written whole -> what tells it from any other file, and from itself when a bit of it has changed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NAME_BYTES = 16
"""Random, at the end of a file: its seal tells it from every other file, also from one that holds the same."""

_CHUNK = 1 << 20
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Seal:
    """`size_bytes` of a file, and the crc32 of these less the bytes from `start` up to `end`.

    What is left out is large, cannot mislead who reads the file, and is compared with its source by `verify`.
    """

    size_bytes: int
    start: int
    end: int
    checksum: int

    @classmethod
    def of(cls, file: Path, *, start: int = 0, end: int = 0) -> Self:
        return cls(file.stat().st_size, start, end, _checksum(file, start, end))

    def broken(self, file: Path) -> str | None:
        """What is wrong with the file; None for the one that was sealed."""
        if (size_bytes := file.stat().st_size) != self.size_bytes:
            return f"it has {size_bytes:,} bytes, not the {self.size_bytes:,} that were written"
        if _checksum(file, self.start, self.end) != self.checksum:
            return "its checksum is another than that of the file that was written"
        return None


def with_checksum(data: bytes) -> bytes:
    """The bytes to write, so that `without_checksum` can tell whether they are read as they were.

    It comes last: a picture stays one.
    """
    return data + zlib.crc32(data).to_bytes(_CHECKSUM_BYTES)


def without_checksum(stored: bytes) -> bytes | None:
    """What was given to `with_checksum`; None where it is damaged."""
    data, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
    return data if zlib.crc32(data).to_bytes(_CHECKSUM_BYTES) == checksum else None


def _checksum(file: Path, start: int, end: int) -> int:
    """The crc32 of the bytes before `start` and from `end` on."""
    checksum = 0
    with file.open("rb") as stream:
        while stream.tell() < start and (data := stream.read(min(_CHUNK, start - stream.tell()))):
            checksum = zlib.crc32(data, checksum)
        stream.seek(end)
        while data := stream.read(_CHUNK):
            checksum = zlib.crc32(data, checksum)
    return checksum
