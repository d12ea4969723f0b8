"""Files that were read, vectors that were made -> changes to the catalog: new, copied, moved, the same, failed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from indexer.captions import read_captions
from indexer.load import Loaded
from indexer.plan import Work
from indexer.report import Report
from search.catalog import Catalog
from search.changes import Caption, Changes, Failure, NewImage, StoredVector
from search.errors import NoTextTower
from search.paths import exists, may_ask
from search.records import Original
from search.types import Facts

EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(slots=True)
class _Batch:
    """What becomes of the files of one batch, before their captions are embedded."""

    changes: Changes = field(default_factory=Changes)
    added: list[tuple[Loaded, Facts, StoredVector]] = field(default_factory=list)
    kept: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def keep(self, row: int, facts: Facts, item: Loaded) -> None:
        """The row stays, under the path and with the captions that its file has now, if these could be read."""
        self.changes.restamped[row] = item.stamp
        if not item.captions.unread:
            self.kept[row] = captions_of(facts, item)


class Resolver:
    """Decides what became of each file and counts it in `report`.

    `taken` are the rows that this run moved or removed. `again` are files whose content the catalog held when they
    were read and no longer does: they have to be read once more.
    """

    def __init__(self, catalog: Catalog, encode_texts: EncodeTexts, report: Report, max_pixels: int) -> None:
        self.taken: set[int] = set()
        self.again: list[Work] = []
        self._catalog = catalog
        self._roots = catalog.roots()
        self._encode_texts = encode_texts
        self._report = report
        self._max_pixels = max_pixels

    def changes(self, items: Sequence[Loaded], vectors: Mapping[bytes, StoredVector]) -> Changes:
        """The changes that one batch asks for; `vectors` holds the new ones by digest, (dim,) each."""
        batch = _Batch()
        self._note_bad_captions(items)
        originals = self._catalog.originals(list({item.digest for item in items if item.reason is None}))
        for item in items:
            if item.reason is None:
                self._place(item, originals.get(item.digest, ()), vectors, batch)
            elif item.unread:
                self._report.unreadable[item.work.found.stamp.path] = item.reason
            else:
                self._fail(item, item.reason, batch)
        return self._with_captions(batch)

    def recaptioned(self, works: Sequence[Work]) -> Changes:
        """The changes of pictures whose caption files alone changed."""
        batch = _Batch()
        images = self._catalog.images([work.row for work in works if work.row is not None])
        for work in works:
            if work.row is not None and work.row in images:
                captions = read_captions(work.found.stamp.path, work.found.sidecars)
                item = Loaded(work, 0.0, captions=captions)
                self._note_bad_captions([item])
                if not captions.unread:
                    batch.keep(work.row, images[work.row].facts, item)
        self._report.recaptioned += len(batch.kept)
        return self._with_captions(batch)

    def _place(
        self, item: Loaded, originals: Sequence[Original], vectors: Mapping[bytes, StoredVector], batch: _Batch
    ) -> None:
        if same := next((original for original in originals if original.id == item.work.row), None):
            self._report.unchanged += 1
            batch.keep(same.id, same.facts, item)
            return
        self._replace(item, batch)
        if orphan := self._orphan(originals):
            self._report.moved += 1
            self.taken.add(orphan.id)
            batch.keep(orphan.id, orphan.facts, item)
        elif originals:
            self._report.copied += 1
            batch.added.append((item, originals[0].facts, originals[0].vector))
        elif item.facts is not None and item.digest in vectors:
            self._count_encoded(item, batch)
            batch.added.append((item, item.facts, vectors[item.digest]))
        else:
            self.again.append(replace(item.work, row=None))

    def _fail(self, item: Loaded, reason: str, batch: _Batch) -> None:
        self._report.failed += 1
        self._replace(item, batch)
        failure = Failure(item.work.found.stamp, reason, self._max_pixels, datetime.now(UTC).replace(tzinfo=None))
        batch.changes.failed.append(failure)

    def _replace(self, item: Loaded, batch: _Batch) -> None:
        """The row of this path, if any, held another content: an id means one picture, so it goes."""
        if item.work.row is not None:
            self.taken.add(item.work.row)
            batch.changes.removed.append(item.work.row)

    def _orphan(self, originals: Sequence[Original]) -> Original | None:
        """A row with this content whose own file is no more: the file was moved."""
        free = (original for original in originals if original.id not in self.taken)
        return next((original for original in free if not self._is_there(original.path)), None)

    def _is_there(self, path: str) -> bool:
        return may_ask(path, self._roots) and exists(path)

    def _note_bad_captions(self, items: Sequence[Loaded]) -> None:
        """A caption file that speaks of a whole folder is told of once."""
        for item in items:
            folder = os.path.dirname(item.work.found.stamp.path)
            self._report.bad_captions.update((f"{folder}/{problem}", None) for problem in item.captions.problems)

    def _count_encoded(self, item: Loaded, batch: _Batch) -> None:
        if any(other.digest == item.digest for other, _, _ in batch.added):
            self._report.copied += 1
        elif item.work.row is None:
            self._report.new += 1
        else:
            self._report.changed += 1

    def _with_captions(self, batch: _Batch) -> Changes:
        current = self._catalog.captions(list(batch.kept))
        recaption = {row: texts for row, texts in batch.kept.items() if list(texts) != current.get(row, [])}
        captions = [captions_of(facts, item) for item, facts, _ in batch.added]
        vectors = self._text_vectors(chain(*recaption.values(), *captions))
        changes = batch.changes
        changes.recaptioned = {row: _pairs(texts, vectors) for row, texts in recaption.items()}
        changes.added = [
            NewImage(item.stamp, item.digest, facts, vector, _pairs(texts, vectors), item.features)
            for (item, facts, vector), texts in zip(batch.added, captions, strict=True)
        ]
        return changes

    def _text_vectors(self, texts: Iterable[str]) -> Mapping[str, StoredVector]:
        """A vector for each text, for none of them without a text tower; only new texts go through the model."""
        unique = list(dict.fromkeys(texts))
        vectors = self._catalog.text_vectors(unique)
        if new := [text for text in unique if text not in vectors]:
            try:
                vectors.update(zip(new, self._encode_texts(new), strict=True))
            except NoTextTower as error:
                self._report.bad_captions[f"all of them: {error}"] = None
        return vectors


def captions_of(facts: Facts, item: Loaded) -> tuple[str, ...]:
    """The caption inside the file, then those beside it, each once."""
    return tuple(dict.fromkeys([*([facts.caption] if facts.caption else []), *item.captions.captions]))


def _pairs(texts: Sequence[str], vectors: Mapping[str, StoredVector]) -> list[Caption]:
    return [Caption(text, vectors[text]) for text in texts if text in vectors]
