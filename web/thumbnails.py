"""An image of a collection -> its thumbnail: made once, then read from the disk, until the image is gone."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from search.image import SCALED, decode_picture
from search.paths import read_file
from search.records import ImageRecord
from search.seals import with_checksum, without_checksum
from search.thumbnail import thumbnail

SIZES = (448, 1280, 2048)
"""Longest side in pixels: for the grid, and for one picture on a screen, or on one with finer pixels."""

_SWEPT = 1_000
"""Files whose images are asked for at once."""

making = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Held to decode what is shown, so that a page full of new pictures leaves memory and processors to the queries."""


class Thumbnails:
    """The thumbnails of one collection, in `folder`. Losing them costs time, nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, image_id: int, record: ImageRecord, size: int) -> bytes:
        """WebP bytes, at most `size` pixels on the longer side. Raises BadPicture when the file is gone or broken."""
        key = key_of(image_id, record)
        file = self._folder / key[:2] / f"{image_id}-{key}-{size}.webp"
        with suppress(OSError):
            if kept := without_checksum(file.read_bytes()):
                return kept
        data = render(record, size)
        with suppress(OSError):  # a full or read-only disk: it is made again the next time
            write_whole(file, with_checksum(data))
        return data

    def sweep(self, images: Callable[[Sequence[int]], Mapping[int, ImageRecord]]) -> int:
        """Remove the thumbnails of what is no longer in the catalog, whose rows `images` gives, and count them.

        Rows are read after the names of files: no file is older than the row it was made for.
        """
        removed = 0
        for folder in self._folder.glob("[0-9a-f][0-9a-f]"):
            files = list(folder.glob("*.webp"))
            for start in range(0, len(files), _SWEPT):
                removed += _remove_strangers(files[start : start + _SWEPT], images)
        return removed


def _remove_strangers(files: Sequence[Path], images: Callable[[Sequence[int]], Mapping[int, ImageRecord]]) -> int:
    ids = {file: int(id_) for file in files if (id_ := file.name.partition("-")[0]).isdecimal()}
    known = {f"{id_}-{key_of(id_, record)}" for id_, record in images(list(set(ids.values()))).items()}
    strangers = [file for file in files if file.stem.rpartition("-")[0] not in known]
    for file in strangers:
        file.unlink(missing_ok=True)  # another process sweeps too
    return len(strangers)


def key_of(image_id: int, record: ImageRecord) -> str:
    """A name for the image's content: an id means one content, and the row tells collections made anew apart."""
    return hashlib.sha256(repr((image_id, record.path, record.facts)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def render(record: ImageRecord, size: int) -> bytes:
    """The picture in its file as WebP. Raises BadPicture."""
    with making:
        sides = record.facts.width, record.facts.height
        short_side = max(1, SCALED * size * min(sides) // max(sides)) if all(sides) else None
        picture = decode_picture(read_file(record.path), max_pixels=record.max_pixels, short_side=short_side)
        return thumbnail(picture.image, size)


def write_whole(file: Path, data: bytes) -> None:
    """Readers see the whole file or none. It may be lost in a crash: it can be made again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123
            stream.write(data)
        Path(aside).replace(file)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
