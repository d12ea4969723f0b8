"""Pictures that visitors ask with: bytes -> a key for URLs, kept in memory as long as there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from search.image import decode_picture, digest_of
from search.settings import MAX_PIXELS
from search.thumbnail import thumbnail

MAX_BYTES = 256_000_000
PREVIEW_PIXELS = 320


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it came, and a small WebP of it: what a visitor sends is never sent on as it is."""

    data: bytes
    preview: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.data) + len(self.preview)


class Uploads:
    """The last pictures, up to `max_bytes` together. Threads may share it."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> str:
        """Keep a picture and return its key, made of its content. Raises BadPicture."""
        picture = decode_picture(data, max_pixels=MAX_PIXELS)
        key, upload = digest_of(data)[:12].hex(), Upload(data, thumbnail(picture.image, PREVIEW_PIXELS))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = upload
                self._size_bytes += upload.size_bytes
            self._kept.move_to_end(key)
            while self._size_bytes > self._max_bytes and len(self._kept) > 1:
                self._size_bytes -= self._kept.popitem(last=False)[1].size_bytes
        return key

    def get(self, key: str) -> Upload | None:
        """The picture of this key, None when it had to make room."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)
