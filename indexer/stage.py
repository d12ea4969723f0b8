"""Files to read -> these, read, with the vectors of their new contents, batch by batch: the stage that costs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.in_flight import InFlight
from indexer.load import Loaded, Reader, ahead
from indexer.patience import Patience
from indexer.plan import Work
from search.changes import StoredVector
from search.long_texts import encode_long

if TYPE_CHECKING:
    from indexer.build import Options
    from search.encoder import Encoder

FILES_A_TRANSACTION = 1024
"""Most files in one transaction, where few of them need the model."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Files that were read, the vectors of their new contents by digest, (dim,) each, and what that took.

    `decode_seconds` is the sum over threads, `wait_seconds` how long the encoder had nothing to do.
    """

    items: list[Loaded]
    vectors: dict[bytes, StoredVector]
    decode_seconds: float
    wait_seconds: float
    encode_seconds: float


class Stage(Protocol):
    """Reads files and encodes them, here or elsewhere."""

    def encode(self, works: Sequence[Work], known: Collection[bytes]) -> Iterator[Encoded]:
        """Every file once, in any order; contents whose digest is in `known` are not decoded.

        A stop ends with what is in hand.
        """

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Captions -> (n, dim) unit rows. NoTextTower without a text tower."""


MakeStage = Callable[[Callable[[], "Encoder"], "Options", Patience, InFlight], Stage]


class LocalStage:
    """On this machine: threads that decode ahead of the encoder, which is loaded when it is first needed."""

    def __init__(
        self,
        load_encoder: Callable[[], Encoder],
        options: Options,
        patience: Patience,
        in_flight: InFlight | None = None,
    ) -> None:
        self._load_encoder = load_encoder
        self._options = options
        self._patience, self._stop = patience, patience.stop
        self._in_flight = in_flight
        self._waited = 0.0

    def encode(self, works: Sequence[Work], known: Container[bytes]) -> Iterator[Encoded]:
        encoder = self._load_encoder()
        options = self._options
        short_side = options.short_side(encoder)
        reader = Reader(encoder.preprocess, options.max_pixels, known, short_side, options.keypoints, self._in_flight)
        sent: deque[tuple[list[Loaded], list[bytes], float]] = deque()

        def pixels() -> Iterator[NDArray[np.uint8]]:
            for items, waited in self._batches(works, reader):
                new = {item.digest: item.pixels for item in items if item.pixels is not None}
                sent.append((items, list(new), waited))
                yield np.stack(list(new.values())) if new else np.empty((0, 1, 1, 3), np.uint8)

        for rows, seconds in self._timed(encoder.encode_batches(pixels())):
            items, digests, waited = sent.popleft()
            vectors = dict(zip(digests, rows, strict=True))
            yield Encoded(items, vectors, sum(item.seconds for item in items), waited, seconds)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoder = self._load_encoder()
        return encode_long(encoder, texts) if self._options.split_captions else encoder.encode_texts(texts)

    def _batches(self, works: Sequence[Work], reader: Reader) -> Iterator[tuple[list[Loaded], float]]:
        """Read files, in batches of so many that need the model, and how long each was waited for."""
        options = self._options
        look_ahead, waiting = options.batch_size + 2 * options.workers, self._patience.waiting
        loaded = ahead(reader.read, works, workers=options.workers, look_ahead=look_ahead, waiting=waiting)
        items: list[Loaded] = []
        new = 0
        started = time.perf_counter()
        for item in loaded:
            items.append(item)
            new += item.pixels is not None
            if new == options.batch_size or len(items) == FILES_A_TRANSACTION or self._stop.is_set():
                yield items, self._wait_since(started)
                items, new, started = [], 0, time.perf_counter()
            if self._stop.is_set():
                return
        if items:
            yield items, self._wait_since(started)

    def _wait_since(self, started: float) -> float:
        waited = time.perf_counter() - started
        self._waited += waited
        return waited

    def _timed(self, batches: Iterator[NDArray[np.float32]]) -> Iterator[tuple[NDArray[np.float32], float]]:
        """The same batches; what it took to make them, less the waiting for files, is encoding."""
        while True:
            started, waited = time.perf_counter(), self._waited
            rows = next(batches, None)
            if rows is None:
                return
            yield rows, time.perf_counter() - started - (self._waited - waited)
