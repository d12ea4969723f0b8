"""Writing files so that a crash leaves the old or the new one, never half of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync_file(file: Path) -> None:
    """Return when the contents of `file` are on the disk."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make `folder` and those around it, if they are missing; return when their names are on the disk."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A name to write to; what was written there becomes `file` when the block ends, and goes if it raises.

    When it has ended, the file and its name are on the disk.
    """
    aside = file.with_name(f"{file.name}.new")
    try:
        yield aside
        sync_file(aside)
        aside.replace(file)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = str(file)  # writes do not say of what
        aside.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def file_digest(file: Path) -> str:
    """The sha256 of its contents, in hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def total_bytes(files: Iterable[Path]) -> int:
    """Bytes of the files that are still there: a build may remove some meanwhile."""
    size_bytes = 0
    for file in files:
        with suppress(FileNotFoundError):
            size_bytes += file.stat().st_size
    return size_bytes
