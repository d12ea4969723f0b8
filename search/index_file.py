"""An index of FAISS -> its file; a file, if it is the one that was written -> the index."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import faiss

from search.errors import CollectionError, DiskFull
from search.index import REPAIR
from search.seals import Seal


def write(index: faiss.Index, aside: Path, file: Path) -> None:
    """Write it `aside`, to become `file`. CollectionError where it cannot be written, DiskFull for want of room."""
    try:
        with _name(aside, "wb") as name:
            faiss.write_index(index, name)
    except RuntimeError as error:
        reason = str(error).rpartition("failed: ")[2]
        kind = DiskFull if os.strerror(errno.ENOSPC) in reason else CollectionError
        raise kind(f"{file} cannot be written, the index before it stays: {reason}") from error


def read(file: Path, seal: Seal | None, *, mapped: bool = True) -> Any:
    """The index of whatever kind, `mapped` or in memory. Nothing is read but what the seal finds in order.

    Older releases left no seal. Raises FileNotFoundError where there is no file and CollectionError for one that is
    damaged or another.
    """
    if seal and (problem := seal.broken(file)):
        raise CollectionError(f"{file} is damaged or another collection's: {problem}; {REPAIR}")
    try:
        with _name(file, "rb") as name:
            return faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        if not file.exists():
            raise FileNotFoundError(file) from error
        raise CollectionError(f"{file} is not a readable index: {REPAIR}") from error


@contextmanager
def _name(file: Path, mode: Literal["rb", "wb"]) -> Iterator[str]:
    """What FAISS opens the file by: its name, if that is UTF-8; else the file is opened here, to be opened again."""
    name = str(file)
    if os.fsencode(name) == name.encode("utf-8", "replace"):
        yield name
        return
    with file.open(mode) as stream:
        yield f"/dev/fd/{stream.fileno()}"
