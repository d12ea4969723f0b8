"""One writer at a time: a lock file that the system frees when its holder ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.errors import CollectionBusy, CollectionError

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def write_lock(file: Path, *, to_write: bool = True) -> Iterator[None]:
    """Hold `file` for this process; raises CollectionBusy, naming the holder's pid, when another has it.

    Where nothing may be written, CollectionError for who wants to; who only reads shares the lock, if there is one.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        if to_write:
            raise CollectionError(
                f"{file.parent} may only be read ({file.name}: {error.strerror}): make it writable, copy it to a "
                "folder that is, or name another --collection"
            ) from error
        held = _shared(file)
    else:
        held = _exclusive(file, descriptor)
    with held:
        yield


@contextmanager
def _exclusive(file: Path, descriptor: int) -> Iterator[None]:
    """Hold `file`, open as `descriptor`, alone, with the pid of this process in it."""
    try:
        _take(descriptor, fcntl.LOCK_EX, file)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def _shared(file: Path) -> Iterator[None]:
    """Hold `file`, which may only be read, together with others who read; raises CollectionBusy while one writes."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        _take(descriptor, fcntl.LOCK_SH, file)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, lock: int, file: Path) -> None:
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
        raise CollectionBusy(
            f"{file.parent} is being written by process {holder}; wait for it, or stop it with: kill {holder}"
        ) from None
