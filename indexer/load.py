"""Files -> decoded work, ahead of the encoder on threads: bounded, in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from indexer.captions import Captions, read_captions
from indexer.in_flight import InFlight
from indexer.plan import Work
from search.changes import FileStamp
from search.errors import BadPicture, UnreadFile
from search.image import decode_picture, digest_of
from search.local_features import record_of
from search.paths import read_file
from search.types import Facts

T = TypeVar("T")
R = TypeVar("R")

TICK_SECONDS = 1.0

Preprocess = Callable[[Image], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file after reading: a failure has a `reason`, a known content has neither facts nor pixels.

    `unread` says of a failure that it is none of the file's: it could not be read this time. `captions` are those of
    the files beside it; `seconds` is the time of the thread that read it.
    """

    work: Work
    seconds: float
    digest: bytes = b""
    facts: Facts | None = None
    pixels: NDArray[np.uint8] | None = None
    features: bytes | None = None
    captions: Captions = Captions(())  # noqa: RUF009 (frozen)
    reason: str | None = None
    unread: bool = False

    @property
    def stamp(self) -> FileStamp:
        """The file as the walk saw it. Captions that were not all read are asked for again."""
        stamp = self.work.found.stamp
        return replace(stamp, captions_stamp=0) if self.captions.unread else stamp


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one file. A digest in `known` is not decoded: the catalog has its vector.

    `short_side` is what a scaled decode must leave; without one everything is decoded whole. Of the local features so
    many `keypoints` are kept, of 0 nothing. What is decoded here is noted in `in_flight`.
    """

    preprocess: Preprocess
    max_pixels: int
    known: Container[bytes] = ()
    short_side: int | None = None
    keypoints: int = 0
    in_flight: InFlight | None = None

    def read(self, work: Work) -> Loaded:
        started = time.perf_counter()
        path = work.found.stamp.path
        try:
            data = read_file(path)
            digest = digest_of(data)
            facts, pixels, features = (None, None, None) if digest in self.known else self._decode(data, work)
        except BadPicture as error:
            unread = isinstance(error, UnreadFile)
            return Loaded(work, time.perf_counter() - started, reason=str(error), unread=unread)
        captions = read_captions(path, work.found.sidecars)
        return Loaded(work, time.perf_counter() - started, digest, facts, pixels, features, captions)

    def _decode(self, data: bytes, work: Work) -> tuple[Facts, NDArray[np.uint8], bytes | None]:
        noted = None if work.suspect else self.in_flight
        with noted.decoding(work.found.stamp.path) if noted else nullcontext():
            picture = decode_picture(data, max_pixels=self.max_pixels, short_side=self.short_side, suspect=work.suspect)
        features = record_of(picture.image, self.keypoints) if self.keypoints else None
        return picture.facts, self.preprocess(picture.image), features


def ahead(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    look_ahead: int,
    waiting: Callable[[T, float], bool] = lambda *_: True,
) -> Iterator[R]:
    """`map` on threads that keeps the order and starts at most `look_ahead` items before their result is taken.

    While a result is waited for, `waiting` is told the item and for how many seconds, about once a second; the results
    end when it returns False. A thread that hangs, as with a network share, does not keep the process from ending.
    """
    jobs: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    for number in range(workers):
        threading.Thread(target=_work, args=(function, jobs), name=f"load-{number}", daemon=True).start()
    started: deque[tuple[Future[R], T]] = deque()

    def ready() -> bool:
        future, item = started[0]
        since = time.monotonic()
        while not wait([future], TICK_SECONDS).done:
            if not waiting(item, time.monotonic() - since):
                return False
        return True

    try:
        for item in items:
            started.append((Future(), item))
            jobs.put(started[-1])
            if len(started) >= look_ahead:
                if not ready():
                    return
                yield started.popleft()[0].result()
        while started and ready():
            yield started.popleft()[0].result()
    finally:
        for future, _ in started:
            future.cancel()
        for _ in range(workers):
            jobs.put(None)


def _work(function: Callable[[T], R], jobs: SimpleQueue[tuple[Future[R], T] | None]) -> None:
    while job := jobs.get():
        future, item = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(item))
            except BaseException as error:  # noqa: BLE001  (raised where the result is taken)
                future.set_exception(error)
