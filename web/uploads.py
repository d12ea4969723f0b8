"""Pictures that visitors ask with: bytes -> a key for URLs, kept in a folder as long as there is room."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.image import decode_picture, digest_of
from search.settings import MAX_PIXELS
from search.thumbnail import thumbnail
from web.thumbnails import write_whole

MAX_BYTES = 256_000_000
PREVIEW_PIXELS = 320


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it came, and a small WebP of it: what a visitor sends is never sent on as it is."""

    data: bytes
    preview: bytes


class Uploads:
    """The last pictures, up to `max_bytes` together. Threads, and processes with the same `folder`, may share them.

    Without a folder they are kept in one of their own, which goes with them.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._folder = folder or Path(tempfile.mkdtemp(prefix="image-search-"))
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def add(self, data: bytes, key: str | None = None) -> str:
        """Keep a picture and return its key, made of its content unless one is given. Raises BadPicture."""
        picture = decode_picture(data, max_pixels=MAX_PIXELS)
        key = key or _key_of(data)
        file = self._folder / key
        write_whole(_preview(file), thumbnail(picture.image, PREVIEW_PIXELS))
        write_whole(file, data)
        _touch(file)
        self._make_room(file)
        return key

    def get(self, key: str) -> Upload | None:
        """The picture of this key, None when it had to make room."""
        if not re.fullmatch("[0-9a-f]{24}", key):
            return None
        file = self._folder / key
        try:
            _touch(file)
            return Upload(file.read_bytes(), _preview(file).read_bytes())
        except FileNotFoundError:
            return None

    def _make_room(self, newest: Path) -> None:
        size_bytes = 0
        for _, size, file in sorted(self._kept(), reverse=True):
            size_bytes += size
            if size_bytes > self._max_bytes and file != newest:
                file.unlink(missing_ok=True)
                _preview(file).unlink(missing_ok=True)

    def _kept(self) -> Iterator[tuple[int, int, Path]]:
        """When each picture was last used, its size with its preview, and its file."""
        for preview in self._folder.glob("[!.]*.webp"):
            file = preview.with_suffix("")
            with suppress(FileNotFoundError):  # another process made room
                status = file.stat()
                yield status.st_mtime_ns, status.st_size + preview.stat().st_size, file


def key_of_url(url: str) -> str:
    """The key of a picture that is fetched."""
    return _key_of(url.encode("utf-8", "replace"))


def _key_of(data: bytes) -> str:
    return digest_of(data)[:12].hex()


def _preview(file: Path) -> Path:
    return file.with_suffix(".webp")


def _touch(file: Path) -> None:
    """Note the use of a file, finer than the clock of file systems."""
    now = time.time_ns()
    os.utime(file, ns=(now, now))
