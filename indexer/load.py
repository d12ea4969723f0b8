"""Files -> decoded work, ahead of the encoder on threads: bounded, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from indexer.captions import Captions, read_captions
from indexer.plan import Work
from search.errors import BadPicture
from search.image import decode_picture, digest_of, read_file
from search.local_features import record_of
from search.types import Facts

T = TypeVar("T")
R = TypeVar("R")

Preprocess = Callable[[Image], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file after reading: a failure has a `reason`, a known content has neither facts nor pixels.

    `captions` are those of the files beside it; `seconds` is the time of the thread that read it.
    """

    work: Work
    seconds: float
    digest: bytes = b""
    facts: Facts | None = None
    pixels: NDArray[np.uint8] | None = None
    features: bytes | None = None
    captions: Captions = Captions(())  # noqa: RUF009 (frozen)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one file. A digest in `known` is not decoded: the catalog has its vector.

    `short_side` is what a scaled decode must leave; without one everything is decoded whole. Of the local features so
    many `keypoints` are kept, of 0 nothing.
    """

    preprocess: Preprocess
    max_pixels: int
    known: Container[bytes] = ()
    short_side: int | None = None
    keypoints: int = 0

    def read(self, work: Work) -> Loaded:
        started = time.perf_counter()
        path = Path(work.found.stamp.path)
        try:
            data = read_file(path)
            digest = digest_of(data)
            facts, pixels, features = (None, None, None) if digest in self.known else self._decode(data)
        except BadPicture as error:
            return Loaded(work, time.perf_counter() - started, reason=str(error))
        captions = read_captions(path, work.found.sidecars)
        return Loaded(work, time.perf_counter() - started, digest, facts, pixels, features, captions)

    def _decode(self, data: bytes) -> tuple[Facts, NDArray[np.uint8], bytes | None]:
        picture = decode_picture(data, max_pixels=self.max_pixels, short_side=self.short_side)
        features = record_of(picture.image, self.keypoints) if self.keypoints else None
        return picture.facts, self.preprocess(picture.image), features


def ahead(function: Callable[[T], R], items: Iterable[T], *, workers: int, look_ahead: int) -> Iterator[R]:
    """`map` on threads that keeps the order and starts at most `look_ahead` items before their result is taken."""
    with ThreadPoolExecutor(workers, thread_name_prefix="load") as pool:
        started: deque[Future[R]] = deque()
        try:
            for item in items:
                started.append(pool.submit(function, item))
                if len(started) >= look_ahead:
                    yield started.popleft().result()
            while started:
                yield started.popleft().result()
        finally:
            for future in started:
                future.cancel()
