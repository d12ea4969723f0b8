"""Pictures that this process decodes -> a file that names each, should a decoder take the process down.

In a server nobody knows what comes. A content that did so once is told by its file, and goes apart from then on.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_folder: Path | None = None


def note_in(cache: Path) -> None:
    """Have this process note in a folder of `cache` what it decodes; all processes with that cache know of it.

    Raises OSError where no such folder can be written to, or its files cannot be locked.
    """
    global _folder
    folder = cache / "decoding"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    _folder = folder


@contextmanager
def noted(data: bytes) -> Iterator[bool]:
    """Have the content in the folder during the block; whether it is suspect, as a process died that decoded it.

    A note is a file that is called by the digest and locked while its process lives; until it is locked it is empty,
    then of one byte. What is suspect and was not decoded stays so.
    """
    if _folder is None:
        yield False
        return
    note = _folder / hashlib.sha256(data).hexdigest()
    try:
        file = note.open("xb")
    except FileExistsError:
        yield (suspect := _was_left(note))
        if suspect:
            note.unlink(missing_ok=True)
        return
    except OSError:  # a full or read-only disk: pictures are shown all the same
        yield False
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            file.truncate(1)
            yield False
        finally:
            note.unlink(missing_ok=True)


def _was_left(note: Path) -> bool:
    """Whether nobody holds it, though somebody did, and it was not taken away since it was opened here.

    Who asks at the same time does so by the lock that can be shared.
    """
    try:
        with note.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            status = os.fstat(file.fileno())
            return status.st_size > 0 and status.st_nlink > 0
    except (FileNotFoundError, BlockingIOError):
        return False
