"""The URL of an object in a store, such as `s3://bucket/dog.jpg` -> its bytes and status; of a folder, what it has.

fsspec knows the stores. Each has a package of its own, and its own places for keys and addresses.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from errno import EIO, EISDIR, ENOENT
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from search.errors import CollectionError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_URL = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://.*[^/]", re.DOTALL)
"""The web is no store: it does not list what it has, and imported rows name much of it."""

_TIMES = ("mtime", "LastModified", "last_modified", "created")
_TAGS = ("ETag", "etag", "md5Hash", "generation", "updated", "modify")
"""What stores call the time when an object was written, and what else is another once it was written again."""

_SECOND_NS = 10**9

Kind = Literal["object", "folder", "unknown"]


class Status(NamedTuple):
    """Of an object, what `os.stat` tells of a file."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder of a store has, asked as an `os.DirEntry` is."""

    name: str
    path: str
    info: Mapping[str, Any]

    def is_dir(self) -> bool:
        return bool(self.info["type"] == "directory")

    def stat(self) -> Status:
        """Raises OSError where the store tells too little to see that the object changes."""
        return _status(self.path, self.info)


def is_url(path: str) -> bool:
    """Whether the path is one in a store. The path of a file never is: it begins with a slash, or has none before."""
    return _URL.match(path) is not None


def require_store(url: str) -> None:
    """Raise CollectionError where no store is known by such a URL, or its package is missing."""
    scheme = url.partition("://")[0]
    try:
        from fsspec import get_filesystem_class

        get_filesystem_class(scheme)
    except ImportError as error:
        raise CollectionError(
            f"{scheme}:// needs the package fsspec, and one for its store ({error}): "
            "pip install 'text-image-search[remote]' has those for s3://"
        ) from error
    except ValueError as error:
        raise CollectionError(f"{url} is in no store that fsspec knows; one is like s3://bucket/photos") from error


def list_folder(url: str) -> list[Entry]:
    """The objects and folders right below `url`. Raises OSError."""
    with _asking(url) as store:
        own = store._strip_protocol(url).strip("/")
        infos = store.ls(url, detail=True)
        store.invalidate_cache()  # the next walk shall see what is there then, and a large listing not stay in memory
    names = ((info["name"].strip("/"), info) for info in infos)
    return [Entry(name, f"{url}/{name}", info) for path, info in names if path != own and (name := _last(path))]


def read_object(url: str, *, max_bytes: int) -> bytes | int:
    """The bytes of an object, or how many there are where these are more than `max_bytes`. Raises OSError."""
    with _asking(url) as store:
        size_bytes = int(store.info(url)["size"])
        if size_bytes > max_bytes:
            return size_bytes
        return bytes(store.cat_file(url, start=0, end=size_bytes)) if size_bytes else b""


def stat_object(url: str) -> Status:
    """Raises OSError, FileNotFoundError among others."""
    with _asking(url) as store:
        info = store.info(url)
    return _status(url, info)


def kind_of(url: str) -> Kind | None:
    """What is there, None for nothing; "unknown" where the store does not answer."""
    try:
        with _asking(url) as store:
            return "folder" if store.info(url)["type"] == "directory" else "object"
    except FileNotFoundError:
        return None
    except OSError:
        return "unknown"


@contextmanager
def _asking(url: str) -> Iterator[AbstractFileSystem]:
    """The store of `url`, whose errors are OSErrors that name it."""
    scheme, _, path = url.partition("://")
    try:
        require_store(url)
        from fsspec.core import url_to_fs

        # by the name of its bucket alone: in a path fsspec takes "::" for something of its own
        yield url_to_fs(f"{scheme}://{path.partition('/')[0]}")[0]
    except FileNotFoundError as error:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), url) from error
    except CollectionError as error:
        raise OSError(EIO, str(error), url) from error
    except Exception as error:  # each package has errors of its own, which have nothing else in common
        raise OSError(EIO, f"its store refuses: {type(error).__name__}: {error}", url) from error


def _status(url: str, info: Mapping[str, Any]) -> Status:
    """The time is that of the store, whole seconds; in what is below them a rewritten object differs by its tag."""
    if info["type"] != "file":
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), url)
    written = next((info[name] for name in _TIMES if isinstance(info.get(name), datetime | int | float)), None)
    tag = next((info[name] for name in _TAGS if info.get(name)), None)
    if written is None and tag is None:
        raise OSError(EIO, "its store tells neither its time nor its ETag, so that no change of it would be seen", url)
    mtime_ns = int((written.timestamp() if isinstance(written, datetime) else written or 0) * _SECOND_NS)
    if tag is not None:
        digest = hashlib.sha256(str(tag).encode()).digest()
        mtime_ns += int.from_bytes(digest[:8]) % _SECOND_NS - mtime_ns % _SECOND_NS
    return Status(int(info["size"] or 0), mtime_ns)


def _last(path: str) -> str:
    return path.rpartition("/")[2]
