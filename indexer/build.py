"""Folders -> a collection: scan, plan, load, encode, write, publish, report."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.features import describe
from indexer.in_flight import IN_FLIGHT_FILE, InFlight
from indexer.patience import Patience, Tell
from indexer.plan import Plan, Work, make_plan
from indexer.report import Report
from indexer.resolve import Resolver
from indexer.roots import apart, by_folder
from indexer.rules import is_listed
from indexer.stage import LocalStage, MakeStage
from search.background import BACKGROUND_TEXTS
from search.changes import Changes
from search.collection import Collection
from search.errors import NoTextTower
from search.image import SCALED
from search.settings import KEYPOINTS, MAX_PIXELS
from search.types import IndexPolicy, Root

if TYPE_CHECKING:
    from search.encoder import Encoder

PUBLISH_SECONDS = 120
"""How often a long build makes its images searchable, while that takes a tenth of its time at most."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much at once: images through the model, threads that decode; the pixel limit; whether captions that do not
    fit the model are embedded in parts or their beginning only; whether JPEGs are decoded whole; how many local
    features are kept of a picture; what the index shall be, None for the same as before; may most of a folder go.
    """

    batch_size: int = 64
    workers: int = max(2, os.cpu_count() or 1)
    max_pixels: int = MAX_PIXELS
    split_captions: bool = True
    publish_seconds: float = PUBLISH_SECONDS
    exact_decode: bool = False
    keypoints: int = KEYPOINTS
    index: IndexPolicy | None = None
    allow_mass_removal: bool = False

    def short_side(self, encoder: Encoder) -> int | None:
        """What a scaled decode must leave for this encoder; None for decoding whole."""
        return None if self.exact_decode else SCALED * encoder.side


Progress = Callable[[Report, int, int], None]
"""Called after every batch with the report so far, the number of files read, and of those to read in all."""


def build(
    collection: Collection,
    roots: Sequence[Root],
    load_encoder: Callable[[], Encoder],
    *,
    options: Options,
    progress: Progress,
    stop: threading.Event,
    make_stage: MakeStage = LocalStage,
    tell: Tell = lambda _: None,
    only: Set[str] | None = None,
) -> Report:
    """Bring the collection up to date with `roots` and publish it; `load_encoder` is called if a file needs it.

    `make_stage` says where files are read and encoded. With paths in `only`, all others stay as they are known.

    The caller holds `collection.writing()`. When `stop` is set the batch in hand is finished and published. Running it
    again, after any end, goes on from there; with nothing changed it writes nothing. `tell` hears of what hangs.
    """
    return _Build(collection, load_encoder, options, progress, Patience(tell, stop), make_stage, only).run(roots)


class _Build:
    def __init__(
        self,
        collection: Collection,
        load_encoder: Callable[[], Encoder],
        options: Options,
        progress: Progress,
        patience: Patience,
        make_stage: MakeStage,
        only: Set[str] | None,
    ) -> None:
        self._collection = collection
        self._load_encoder = load_encoder
        self._options = options
        self._progress = progress
        self._only, self._unseen = only, set(only or ())
        self._asked = by_folder(only or ())
        self._patience, self._stop = patience, patience.stop
        self._in_flight = InFlight(collection.directory / IN_FLIGHT_FILE)
        self._stage = make_stage(self._encoder, options, patience, self._in_flight)
        self._report = Report()
        self._resolver = Resolver(collection.catalog, self._encode_texts, self._report, options.max_pixels)
        self._publish_at = time.monotonic() + options.publish_seconds

    def run(self, roots: Sequence[Root]) -> Report:
        started, started_at = time.perf_counter(), datetime.now(UTC).replace(tzinfo=None)
        plans = [self._plan(root) for root in roots]
        self._tell_of_unseen()
        self._read([work for plan in plans for work in plan.to_read])
        self._recaption([work for plan in plans for work in plan.to_recaption])
        self._sweep(plans)
        if self._options.keypoints:
            self._report.described = self._describe()
        self._publish()
        if not (self._stop.is_set() or self._report.unreadable):
            self._in_flight.settle()
        report = self._report
        report.interrupted = self._stop.is_set()
        report.seconds = time.perf_counter() - started
        if report.wrote:
            self._collection.catalog.record_run(started_at, report.to_dict())
        return report

    def _plan(self, root: Root) -> Plan:
        """Walk one root and compare it with its rows, or that part of both which was asked for."""
        catalog, path = self._collection.catalog, root.path
        known, failures = catalog.known_files(path), catalog.known_failures(path)
        if others := apart(root, catalog.roots()):
            known = {file: row for file, row in known.items() if not file.startswith(others)}
            failures = {file: failure for file, failure in failures.items() if not file.startswith(others)}
        only = self._only
        if is_listed(root):
            only = (by_folder([*known, *failures]) if only is None else self._asked).get(path, set())
        found = self._patience.scan(root, only)
        if only is not None:
            known = {file: row for file, row in known.items() if file in only}
            failures = {file: failure for file, failure in failures.items() if file in only}
            self._unseen -= {*known, *(file.stamp.path for file in found.files)}
        max_pixels, suspects = self._options.max_pixels, self._in_flight.suspects
        plan = make_plan(path, found, known, failures, max_pixels=max_pixels, suspects=suspects)
        self._report.unreadable.update(found.unreadable)
        self._report.unchanged += plan.unchanged
        return plan

    def _tell_of_unseen(self) -> None:
        """Say so of each file that was asked for where there is none, unless it is known where nobody could look."""
        unreadable = self._report.unreadable
        for path in sorted(self._unseen - unreadable.keys()):
            if not path.startswith(tuple(f"{place}/" for place in unreadable)):
                unreadable[path] = "no picture is there, or the rules of its folder leave it out"

    def _read(self, works: Sequence[Work]) -> None:
        """Read, encode and write; then once more those whose known content went in the meantime."""
        done = total = 0
        known = self._collection.catalog.known_digests() if works else set()
        while works and not self._stop.is_set():
            total += len(works)
            for encoded in self._stage.encode(works, known):
                self._report.add(encoded)
                self._write(self._resolver.changes(encoded.items, encoded.vectors))
                known.update(encoded.vectors)
                done += len(encoded.items)
                self._progress(self._report, done, total)
                self._publish_now_and_then()
            works, known = self._resolver.again, set()
            self._resolver.again = []

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        started = time.perf_counter()
        vectors = self._stage.encode_texts(texts)
        self._report.encode_seconds += time.perf_counter() - started
        return vectors

    def _encoder(self) -> Encoder:
        encoder = self._load_encoder()
        self._collection.adopt(encoder.identity)
        self._report.on_gpu = encoder.on_gpu
        return encoder

    def _recaption(self, works: Sequence[Work]) -> None:
        size = self._options.batch_size
        for start in range(0, len(works), size):
            if self._stop.is_set():
                return
            self._write(self._resolver.recaptioned(works[start : start + size]))

    def _sweep(self, plans: Sequence[Plan]) -> None:
        """Remove the rows whose files are gone, once the moved ones among them are known."""
        if self._stop.is_set():
            return
        for plan in plans:
            gone = plan.gone.keys() - self._resolver.taken
            if not self._options.allow_mass_removal and (reason := plan.mass_removal(len(gone))):
                self._report.unreadable[plan.root] = reason
                continue
            self._report.removed += len(gone)
            self._write(Changes(removed=sorted(gone), forgotten_failures=plan.gone_failures))

    def _describe(self) -> int:
        catalog, silent = self._collection.catalog, self._report.unreadable
        roots = [root for root in catalog.roots() if root.path not in silent]
        return describe(catalog.features, roots, self._options, self._patience, self._in_flight)

    def _write(self, changes: Changes) -> None:
        if changes:
            started = time.perf_counter()
            self._collection.catalog.apply(changes)
            self._report.write_seconds += time.perf_counter() - started

    def _publish(self) -> None:
        """Publish what changed; the model, when it is here, leaves the texts that indexes are measured with."""
        if self._report.encoded and self._collection.background() is None:
            with suppress(NoTextTower):
                self._collection.keep_background(self._encoder().encode_texts(BACKGROUND_TEXTS))
        started = time.perf_counter()
        self._collection.publish_if_changed(self._options.index)
        self._report.publish_seconds += time.perf_counter() - started

    def _publish_now_and_then(self) -> None:
        if time.monotonic() < self._publish_at:
            return
        started = time.monotonic()
        self._publish()
        ended = time.monotonic()
        self._publish_at = ended + max(self._options.publish_seconds, 10 * (ended - started))
