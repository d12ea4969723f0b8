"""A tar file -> its members by name, and the bytes of one.

`/shards/00000.tar/000000012.jpg` names a member: a path that goes on below a file, where no file system has anything.
Such a path is read wherever a path of a file is (`search.paths.read_file`), so what reads pictures knows of no tars.
"""

from __future__ import annotations

import os
import re
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import ENOENT, ENOTDIR
from pathlib import Path
from typing import BinaryIO, NamedTuple

SUFFIX = ".tar"

_KEPT = 16
"""Tars whose members are remembered: some megabytes each, where there are tens of thousands."""

_BELOW = re.compile(re.escape(SUFFIX) + r"(?=/)", re.IGNORECASE)
_BLOCK_BYTES = 512

_PAX_TYPES = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE})
_EXTENSION_TYPES = _PAX_TYPES | {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}

_MAX_EXTENSION_BYTES = 64 * 1024
"""Of all that says more of one file before its own header: it is read whole, each header in a call within the last."""

_PAX_RECORD = re.compile(rb"(\d+) [^=]+=")
_MAX_DIGITS = 1000
"""In a row in a PAX header: tarfile looks for its records in a time that grows with the square of these."""


class Member(NamedTuple):
    """Where the bytes of a member are in its tar file."""

    offset: int
    size_bytes: int


class Stamp(NamedTuple):
    """What a rewritten file differs in; a member is as old as its tar file, whatever the tar says of it."""

    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The regular files of a tar in its order, the last of each name, and why there may be more."""

    members: dict[str, Member] = field(default_factory=dict)
    mtime_ns: int = 0
    problem: str | None = None


class _Header(tarfile.TarInfo):
    """A header of a tar file. Raises ReadError for one that cannot be right, before it is followed."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:  # where tarfile lets subclasses in
        self._check_size(self.size)
        if self.type in _EXTENSION_TYPES:
            self._check_extension(self.offset + self.size - tar.offset)
        if self.type in _PAX_TYPES and tar.fileobj is not None:
            body = tar.fileobj.read(self.size)
            tar.fileobj.seek(self.offset + _BLOCK_BYTES)
            self._check_records(body)
        info: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc] # typeshed leaves it out
        self._check_size(info.size)
        return info

    def _check_size(self, size_bytes: int) -> None:
        """A size below 0 would lead back to headers before it, for ever."""
        if size_bytes < 0:
            raise tarfile.ReadError(f"the header at byte {self.offset:,} gives a size of {size_bytes:,} bytes, below 0")

    def _check_extension(self, size_bytes: int) -> None:
        if size_bytes > _MAX_EXTENSION_BYTES:
            limit = f"over the limit of {_MAX_EXTENSION_BYTES:,}"
            raise tarfile.ReadError(f"headers of {size_bytes:,} bytes before one file are {limit}")

    def _check_records(self, body: bytes) -> None:
        """Records that end before their "=" have tarfile keep the rest of the body for each: a gigabyte of 64 kB."""
        digits = max(map(len, re.findall(rb"\d+", body)), default=0)
        if digits > _MAX_DIGITS:
            limit = f"over the limit of {_MAX_DIGITS:,}"
            raise tarfile.ReadError(f"{digits:,} digits in a row in the header at byte {self.offset:,} are {limit}")
        end = 0
        while record := _PAX_RECORD.match(body, end):
            end += int(record[1])
            if record.end() > end:
                raise tarfile.ReadError(f"a record of the header at byte {self.offset:,} ends before its value")


_listings: OrderedDict[tuple[str, int, int, int], Listing] = OrderedDict()
_one_lister = threading.Lock()
"""Held so that threads that start on a tar together list it once."""


def is_tar(path: str) -> bool:
    """Whether a tar file is at the path, by its name. None is compressed: members are read from the middle."""
    return path.lower().endswith(SUFFIX) and Path(path).is_file()


def may_be_tars(path: str) -> Iterator[str]:
    """Where the tar file would be that the path goes on below, outermost first."""
    return (path[: match.end()] for match in _BELOW.finditer(path))


def tar_of(path: str) -> str | None:
    """The tar file that the path goes on below; None where there is none."""
    return next((tar for tar in may_be_tars(path) if Path(tar).is_file()), None)


def list_tar(tar: str) -> Listing:
    """The members of a tar file. Raises OSError where it cannot be read."""
    with Path(tar).open("rb") as file:
        return _listing(file, tar)


def read_member(path: str, *, max_bytes: int) -> bytes | int:
    """The bytes of a member, or how many there are where these are more than `max_bytes`.

    Raises OSError, FileNotFoundError among others, and EOFError where the tar file ends before the member.
    """
    tar = _tar(path)
    with Path(tar).open("rb") as file:
        member = _member(_listing(file, tar), tar, path)
        if member.size_bytes > max_bytes:
            return member.size_bytes
        data = os.pread(file.fileno(), member.size_bytes, member.offset)
    if len(data) < member.size_bytes:
        raise EOFError(f"its tar file ends after {len(data):,} of its {member.size_bytes:,} bytes")
    return data


def stamp_of_member(path: str) -> Stamp:
    """The stamp of a member of a tar file. Raises OSError."""
    tar = _tar(path)
    listing = list_tar(tar)
    return Stamp(_member(listing, tar, path).size_bytes, listing.mtime_ns)


def _tar(path: str) -> str:
    if (tar := tar_of(path)) is None:
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), path)
    return tar


def _member(listing: Listing, tar: str, path: str) -> Member:
    if (member := listing.members.get(path[len(tar) + 1 :])) is None:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
    return member


def _listing(file: BinaryIO, tar: str) -> Listing:
    """What the tar file has, as it is now: it is listed again when it was written again."""
    status = os.fstat(file.fileno())
    key = (tar, status.st_ino, status.st_size, status.st_mtime_ns)
    with _one_lister:
        if (known := _listings.get(key)) is None:
            known = _listings[key] = _listed(file, status)
            if len(_listings) > _KEPT:
                _listings.popitem(last=False)
        _listings.move_to_end(key)
        return known


def _listed(file: BinaryIO, status: os.stat_result) -> Listing:
    """A member that the end of a damaged file cuts off is none of those that can be read."""
    members: dict[str, Member] = {}
    problem = None
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined] # it would hold every header
                name = info.name.removeprefix("./")
                if info.isreg() and not info.issparse() and _is_plain(name):
                    members.pop(name, None)
                    members[name] = Member(info.offset_data, info.size)
            file.seek(tar.offset)
            if file.read(_BLOCK_BYTES).strip(b"\0"):  # it takes a damaged header for the end
                problem = "a header is damaged"
    except (tarfile.TarError, ValueError, OverflowError) as error:
        problem = str(error)
    except IndexError:  # what tarfile makes of a sparse file's header that goes on behind the end
        problem = "it ends within a header"
    whole = {name: one for name, one in members.items() if one.offset + one.size_bytes <= status.st_size}
    if problem or len(whole) < len(members):
        problem = f"not a whole tar file, {len(whole):,} files can be read: {problem or 'it ends within one'}"
    return Listing(whole, status.st_mtime_ns, problem)


def _is_plain(name: str) -> bool:
    """Whether the name stays below the tar file, and is the only one for what it names."""
    return "\0" not in name and not any(part in ("", ".", "..") for part in name.split("/"))
