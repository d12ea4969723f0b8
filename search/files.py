"""Writing files so that a crash leaves the old or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


def replace_file(aside: Path, file: Path) -> None:
    """Give the finished file `aside` the name `file`, and return when both are on the disk."""
    sync_file(aside)
    aside.replace(file)
    sync_folder(file.parent)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A name to write to; what was written there becomes `file` when the block ends, and goes if it raises."""
    aside = file.with_name(f".new-{file.name}")
    try:
        yield aside
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    replace_file(aside, file)
