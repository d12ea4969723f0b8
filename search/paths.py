"""A path -> its bytes and its stamp, wherever it is: in a file, in a tar file (`tars.py`) or in a store (`stores.py`).

Nothing else asks what a path is. In the catalog it is text: pathlib would make `s3:/bucket` of `s3://bucket`.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable, Sequence
from errno import EISDIR, ELOOP, ENAMETOOLONG
from pathlib import Path

from search.errors import BadPicture, CollectionError, UnreadFile
from search.stores import Entry, is_url, kind_of, list_folder, read_object, stat_object
from search.tars import Stamp, read_member, stamp_of_member, tar_of
from search.types import Root, is_followed

MAX_FILE_BYTES = 512_000_000

AnyEntry = os.DirEntry[str] | Entry


def absolute(path: str) -> str:
    """As the catalog has it: without a slash at its end, and of a file from the root on.

    Raises CollectionError for an empty one, which would be the folder where one happens to be.
    """
    if not path:
        raise CollectionError("an empty path names nothing; for the current folder write .")
    return path.rstrip("/") if is_url(path) else os.path.abspath(path)  # noqa: PTH100 (a Path is no URL)


def is_folder(path: str) -> bool:
    """Whether there is a folder; in a store that does not answer there may be."""
    return kind_of(path) in ("folder", "unknown") if is_url(path) else os.path.isdir(path)  # noqa: PTH112


def may_ask(path: str, roots: Iterable[Root]) -> bool:
    """Whether to look for the file of a row: imported rows may name objects of any store, which nobody shall ask."""
    return not is_url(path) or is_followed(path, roots)


def entries(folder: str) -> Sequence[AnyEntry]:
    """What lies right in a folder. Raises OSError."""
    if is_url(folder):
        return list_folder(folder)
    with os.scandir(folder) as listing:
        return list(listing)


def identity_of(path: str) -> tuple[int, int] | None:
    """What tells a file or folder from every other on this machine; None in a tar or a store, and where it is gone."""
    if is_url(path):
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_plain_file(path: str) -> bool:
    """Whether the file itself is at the path, so that whoever has the path can open it."""
    return not is_url(path) and tar_of(path) is None


def read_file(path: str | Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a regular file, of a member of a tar file or of an object in a store.

    A FIFO or a device raises BadPicture at once; UnreadFile may pass by itself.
    """
    try:
        data = _read(str(path), max_bytes)
    except IsADirectoryError as error:
        raise BadPicture(f"cannot be read: {error.strerror}") from error
    except OSError as error:
        raise UnreadFile(f"cannot be read: {error.strerror or error}") from error
    except EOFError as error:
        raise BadPicture(str(error)) from error
    if isinstance(data, int):
        raise BadPicture(f"{_megabytes(data)}, over the limit of {_megabytes(max_bytes)} for one file")
    if not data:
        raise BadPicture("empty file")
    return data


def read_named(path: Path) -> bytes:
    """What `read_file` reads; what is wrong is said of the file by its name."""
    try:
        return read_file(path)
    except BadPicture as error:
        raise BadPicture(f"{path}: {error}") from error


def stamp_of(path: str) -> Stamp:
    """The stamp of a regular file, of a member of a tar file or of an object in a store. Raises OSError."""
    if is_url(path):
        return Stamp(*stat_object(path))
    try:
        status = Path(path).stat()
    except NotADirectoryError:
        return stamp_of_member(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(EISDIR, "not a regular file", path)
    return Stamp(status.st_size, status.st_mtime_ns)


def exists(path: str) -> bool:
    """Whether there is a file, a member or an object at the path, or a link that leads to none.

    What does not answer, or may not be looked into, is believed to have what it had.
    """
    if is_url(path):
        return kind_of(path) is not None
    try:
        Path(path).lstat()
    except NotADirectoryError:
        try:
            stamp_of_member(path)
        except OSError:
            return False
    except (FileNotFoundError, ValueError):  # ValueError: a NUL in a path
        return False
    except OSError as error:  # no permission, no answer
        return error.errno not in (ELOOP, ENAMETOOLONG)
    return True


def _read(path: str, max_bytes: int) -> bytes | int:
    """The bytes, or how many there are where these are more than `max_bytes`."""
    if is_url(path):
        return read_object(path, max_bytes=max_bytes)
    try:
        with io.FileIO(path, opener=_open_without_waiting) as file:
            if not stat.S_ISREG((status := os.fstat(file.fileno())).st_mode):
                raise BadPicture("not a regular file")
            return status.st_size if status.st_size > max_bytes else file.readall()
    except NotADirectoryError:
        return read_member(path, max_bytes=max_bytes)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _megabytes(count: int) -> str:
    return f"{round(count / 1_000_000, 1):g} MB"
