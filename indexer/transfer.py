"""Vectors and rows in files -> a collection, without a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from indexer.described import Described, read_row
from indexer.layouts import SET_COLUMNS, Files, own_row
from indexer.report import Report
from indexer.rows import Row, read_rows, row_count
from indexer.vectors import open_vectors, stored_rows
from search.catalog import Catalog
from search.changes import Caption, Changes, NewImage
from search.collection import Collection
from search.errors import BadImport
from search.types import EncoderIdentity, IndexPolicy

ROWS_A_TRANSACTION = 4096

Progress = Callable[[int], object]
"""Called with the number of rows that were done since the last time."""


def said_identity(file: Path) -> EncoderIdentity:
    """The encoder's identity as an export wrote it."""
    try:
        return EncoderIdentity.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadImport(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise BadImport(
            f"{file} does not say whose vectors these are, as the encoder.json of an export does"
        ) from error


def dim_of(files: Files) -> int:
    return int(open_vectors(files.vectors).shape[1])


def check(shards: Sequence[Files], dim: int, catalog: Catalog | None) -> int:
    """How many rows there are, if all of them can be imported into the catalog; BadImport names the first that cannot.

    Paths may come once. One that the catalog holds must have the vector that it has there.
    """
    seen: set[str] = set()
    for files, start, images in _batches(shards, dim):
        paths = [image.stamp.path for image in images]
        for number, path in enumerate(paths, start):
            if path in seen:
                raise BadImport(
                    f"{files.rows}: row {number} has the path {path!r} of a row before; a path is one image"
                )
            seen.add(path)
        held = catalog.bulk.vectors_at(paths) if catalog else {}
        for image in images:
            if held.get(image.stamp.path, image.vector.tobytes()) != image.vector.tobytes():
                raise BadImport(
                    f"the collection holds {image.stamp.path!r} with another vector; take it out first: "
                    f"python -m indexer remove, or give the rows other paths"
                )
    return len(seen)


def import_files(
    collection: Collection,
    shards: Sequence[Files],
    *,
    index: IndexPolicy | None = None,
    progress: Progress,
    stop: threading.Event,
) -> Report:
    """Add the rows that the collection does not hold yet, and publish as `index` says, or as the last time.

    The caller holds `writing()` and has checked. After any end the same call goes on from there.
    """
    report, started, started_at = Report(), time.perf_counter(), datetime.now(UTC).replace(tzinfo=None)
    catalog = collection.catalog
    for _, _, images in _batches(shards, collection.identity.dim):
        held = catalog.bulk.vectors_at([image.stamp.path for image in images])
        added = [image for image in images if image.stamp.path not in held]
        if added:
            catalog.apply(Changes(added=added))
        report.new += len(added)
        report.unchanged += len(images) - len(added)
        progress(len(images))
        if stop.is_set():
            report.interrupted = True
            break
    collection.publish_if_changed(index)
    report.seconds = time.perf_counter() - started
    if report.wrote:
        catalog.record_run(started_at, report.to_dict())
    return report


def _batches(shards: Sequence[Files], dim: int) -> Iterator[tuple[Files, int, list[NewImage]]]:
    """Some thousand rows of a shard at a time, and the number of the first. BadImport at the first bad one."""
    for files in shards:
        for start, images in _batches_of(files, dim):
            yield files, start, images


def _batches_of(files: Files, dim: int) -> Iterator[tuple[int, list[NewImage]]]:
    vectors, count = open_vectors(files.vectors, dim), row_count(files.rows)
    if count is not None and count != len(vectors):
        raise _uneven(files, len(vectors), count)
    rows = _own_rows(files)
    captions = _Captions(files, dim)
    for start in range(0, len(vectors), ROWS_A_TRANSACTION):
        some = stored_rows(vectors, range(start, min(start + ROWS_A_TRANSACTION, len(vectors))), files.vectors)
        described = [_described(row, number, files) for number, row in enumerate(islice(rows, len(some)), start)]
        if len(described) < len(some):
            raise _uneven(files, len(vectors), start + len(described))
        taken = captions.take([item.captions for item in described])
        yield (
            start,
            [
                NewImage(item.stamp, item.digest, item.facts, vector, texts)
                for item, vector, texts in zip(described, some, taken, strict=True)
            ],
        )
    if further := sum(1 for _ in rows):
        raise _uneven(files, len(vectors), len(vectors) + further)
    captions.end()


def _own_rows(files: Files) -> Iterator[Row]:
    if not files.of_set:
        return read_rows(files.rows)
    return (own_row(row, texts=files.texts is not None) for row in read_rows(files.rows, SET_COLUMNS))


def _uneven(files: Files, vectors: int, rows: int) -> BadImport:
    return BadImport(
        f"{files.vectors} has {vectors:,} vectors and {files.rows} has {rows:,} rows; give one row for each"
    )


def _described(row: Row, number: int, files: Files) -> Described:
    try:
        return read_row(row, unnamed=f"{files.vectors.stem}#{number}")
    except BadImport as error:
        raise BadImport(f"{files.rows}: row {number}: {error}") from error


class _Captions:
    """The captions that rows name, each with its vector, which come one after the other."""

    def __init__(self, files: Files, dim: int) -> None:
        self._files = files
        self._vectors = open_vectors(files.texts, dim) if files.texts else None
        self._next = 0

    def take(self, captions: Sequence[tuple[str, ...]]) -> list[list[Caption]]:
        """For the next images, in their order."""
        count = sum(map(len, captions))
        if self._vectors is None or self._files.texts is None:
            if count:
                raise BadImport(f"{self._files.rows} has captions: give their vectors, --texts FILE")
            return [[] for _ in captions]
        if self._files.of_set:
            return self._take_by_row(captions, self._vectors, self._files.texts)
        end = self._next + count
        if end > len(self._vectors):
            raise BadImport(f"{self._files.texts} has {len(self._vectors):,} vectors, and the rows name more captions")
        stored = iter(stored_rows(self._vectors, range(self._next, end), self._files.texts))
        self._next = end
        return [[Caption(text, next(stored)) for text in texts] for texts in captions]

    def _take_by_row(
        self, captions: Sequence[tuple[str, ...]], vectors: NDArray[Any], file: Path
    ) -> list[list[Caption]]:
        """Of a set, whose rows have a vector each; that of a row without a caption may be anything."""
        places = [self._next + place for place, texts in enumerate(captions) if texts]
        self._next += len(captions)
        if self._next > len(vectors):
            raise BadImport(f"{file} has {len(vectors):,} vectors, and {self._files.rows} has more rows")
        stored = iter(stored_rows(vectors, places, file))
        return [[Caption(text, next(stored)) for text in texts] for texts in captions]

    def end(self) -> None:
        if self._vectors is not None and self._next < len(self._vectors):
            what = "rows" if self._files.of_set else "captions"
            raise BadImport(f"{self._files.texts} has {len(self._vectors):,} vectors for {self._next:,} {what}")
