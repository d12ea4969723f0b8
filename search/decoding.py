"""Pictures that this process decodes -> a file that names each, should a decoder take the process down.

In a server nobody knows what comes. A content that did so once is told by its file, and goes apart from then on.
"""

from __future__ import annotations

import fcntl
import hashlib
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

    A note is an empty file that is called by the digest and locked while its process lives. What is suspect and was not
    decoded stays so.
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
            yield False
        finally:
            note.unlink(missing_ok=True)


def _was_left(note: Path) -> bool:
    """Whether nobody holds it. Who asks at the same time does so by the lock that can be shared."""
    try:
        with note.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True
