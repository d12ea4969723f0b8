"""An encoder -> the same encoder, in which single queries that come at once go through a tower together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from search.errors import SearchError
from search.types import EncoderIdentity, Logits

if TYPE_CHECKING:
    from search.encoder import Encoder

LIMIT = 16
"""Queries that go through a tower together at most."""

TEXT_RUNS = 2
"""Batches of texts that are run at once at most, the second one when it is full: while the answers of one are made,
cores compute the other.
"""

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class _Call(Generic[Item]):
    """A query that waits until it is its `turn`: its vector `row`, (dim,), is there, or it is to run its `batch`.

    `alone` when it was in a batch that failed.
    """

    item: Item
    turn: threading.Lock
    batch: list[_Call[Item]] = field(default_factory=list)
    row: NDArray[np.float32] | None = None
    alone: bool = False


class Gathered(Generic[Item]):
    """One item -> its row, through `encode`, which runs for all that wait then.

    Nobody waits for company: whoever finds the tower idle starts it with what is there, and wakes only those whose turn
    it is then. When a batch fails, each of its items is tried alone, so that every caller gets the exception of its own
    item or none.
    """

    def __init__(
        self, encode: Callable[[list[Item]], NDArray[np.float32]], *, limit: int = LIMIT, runs: int = 1
    ) -> None:
        """With more `runs` than one, further batches are run beside one that is not done, when `limit` items wait."""
        self._encode = encode
        self._limit, self._runs = limit, runs
        self._waiting: deque[_Call[Item]] = deque()
        self._changing = threading.Lock()
        self._running = 0

    def __call__(self, item: Item) -> NDArray[np.float32]:
        call = _Call(item, threading.Lock())
        call.turn.acquire()
        with self._changing:
            self._waiting.append(call)
            self._start()
        call.turn.acquire()
        if call.row is None:
            self._run(call)
        assert call.row is not None
        return call.row

    def _run(self, own: _Call[Item]) -> None:
        """Give all of its batch, of which `own` is the first, their rows; then it is somebody else's turn."""
        try:
            try:
                self._fill(own.batch)
            except (SearchError, RuntimeError):
                if len(own.batch) == 1:
                    raise
                self._fill([own])
        finally:
            with self._changing:
                self._pass_on(own.batch[1:])
                self._running -= 1
                self._start()

    def _start(self) -> None:
        """Let the first of those that wait run a batch of them, where none is run or there is enough for one more."""
        runs = self._runs if len(self._waiting) >= self._limit else 1
        if self._waiting and self._running < runs:
            self._running += 1
            batch = self._batch()
            batch[0].batch = batch
            batch[0].turn.release()

    def _batch(self) -> list[_Call[Item]]:
        batch = [self._waiting.popleft()]
        while self._waiting and len(batch) < self._limit and not (batch[0].alone or self._waiting[0].alone):
            batch.append(self._waiting.popleft())
        return batch

    def _fill(self, batch: list[_Call[Item]]) -> None:
        for call, row in zip(batch, self._encode([call.item for call in batch]), strict=True):
            call.row = row

    def _pass_on(self, others: list[_Call[Item]]) -> None:
        for call in reversed(others):
            if call.row is None:
                call.alone = True
                self._waiting.appendleft(call)
            else:
                call.turn.release()


class BatchingEncoder:
    """Satisfies `search.encoder.Encoder`. Pictures are prepared by those who bring them, before they wait."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._text = Gathered(encoder.encode_texts, runs=TEXT_RUNS)
        self._pixels = Gathered(self._encode_pixels)

    @property
    def identity(self) -> EncoderIdentity:
        return self._encoder.identity

    @property
    def side(self) -> int:
        return self._encoder.side

    @property
    def on_gpu(self) -> bool:
        return self._encoder.on_gpu

    @property
    def logits(self) -> Logits:
        return self._encoder.logits

    @property
    def context(self) -> int:
        return self._encoder.context

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._encoder.count_tokens(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self._encoder.reads(texts)

    def preprocess(self, image: Image) -> NDArray[np.uint8]:
        return self._encoder.preprocess(image)

    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        return self._encoder.encode_batches(batches)

    def encode_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        if len(images) != 1:
            return self._encoder.encode_images(images)
        return self._pixels(self._encoder.preprocess(images[0]))[np.newaxis]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(texts) != 1:
            return self._encoder.encode_texts(texts)
        return self._text(texts[0])[np.newaxis]

    def _encode_pixels(self, pixels: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        (rows,) = self._encoder.encode_batches([np.stack(pixels)])
        return rows
