"""Picture files -> their vectors, batch by batch, in order, as they are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options
from indexer.load import ahead
from search.errors import BadPicture
from search.image import decode_picture
from search.paths import read_file

if TYPE_CHECKING:
    from search.encoder import Encoder


@dataclass(frozen=True, slots=True)
class File:
    """`reason` says why a file could not be read; None for one that could."""

    path: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EncodedFiles:
    """`rows` is (n, dim): the unit vectors of the files that could be read, in their order."""

    files: tuple[File, ...]
    rows: NDArray[np.float32]


def encode_files(paths: Iterable[str], encoder: Encoder, options: Options) -> Iterator[EncodedFiles]:
    """Every path once, in order. Files are decoded ahead on threads; a bad one is a value, not the end."""
    sent: deque[tuple[File, ...]] = deque()

    def read(path: str) -> tuple[File, NDArray[np.uint8] | None]:
        try:
            data = read_file(path)
            picture = decode_picture(data, max_pixels=options.max_pixels, short_side=options.short_side(encoder))
        except BadPicture as error:
            return File(path, str(error)), None
        return File(path), encoder.preprocess(picture.image)

    def batches() -> Iterator[NDArray[np.uint8]]:
        items = ahead(read, paths, workers=options.workers, look_ahead=options.batch_size + 2 * options.workers)
        while batch := tuple(islice(items, options.batch_size)):
            sent.append(tuple(file for file, _ in batch))
            good = [pixels for _, pixels in batch if pixels is not None]
            yield np.stack(good) if good else np.empty((0, 1, 1, 3), np.uint8)

    for rows in encoder.encode_batches(batches()):
        yield EncodedFiles(sent.popleft(), rows)
