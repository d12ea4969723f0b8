"""Vectors and rows in files -> a collection, without a model; and a collection -> files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from indexer.described import Described, read_row, write_row
from indexer.report import Report
from indexer.rows import Row, read_rows, writing_rows
from indexer.vectors import open_vectors, stored_rows, writing_vectors
from search.catalog import Catalog
from search.changes import Caption, Changes, NewImage
from search.collection import Collection
from search.errors import BadImport
from search.files import replacing
from search.types import EncoderIdentity

ROWS_A_TRANSACTION = 4096

Progress = Callable[[int], object]
"""Called with the number of rows that were done since the last time."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where vectors (.npy) and rows are: of images, of their captions if any, and the encoder's identity if it is said.

    A row is for the vector at its place. The vectors of captions follow each other as the rows name these.
    """

    vectors: Path
    rows: Path
    texts: Path | None = None
    encoder: Path | None = None


def files_in(folder: Path) -> Files:
    """The files of an export; its rows are JSON unless there is parquet alone."""
    rows = [folder / f"image_rows{ending}" for ending in (".json", ".parquet")]
    found = next((file for file in rows if file.exists()), rows[0])
    return Files(folder / "image_vectors.npy", found, folder / "text_vectors.npy", folder / "encoder.json")


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


def check(files: Files, dim: int, catalog: Catalog | None) -> int:
    """How many rows there are, if all of them can be imported into the catalog; BadImport names the first that cannot.

    Paths may come once. One that the catalog holds must have the vector that it has there.
    """
    seen: set[str] = set()
    for start, images in _batches(files, dim):
        paths = [image.stamp.path for image in images]
        for number, path in enumerate(paths, start):
            if path in seen:
                raise BadImport(
                    f"{files.rows}: row {number} has the path {path!r} of a row before; a path is one image"
                )
            seen.add(path)
        held = catalog.vectors_at(paths) if catalog else {}
        for image in images:
            if held.get(image.stamp.path, image.vector.tobytes()) != image.vector.tobytes():
                raise BadImport(
                    f"the collection holds {image.stamp.path!r} with another vector; take it out first: "
                    f"python -m indexer remove, or give the rows other paths"
                )
    return len(seen)


def import_files(collection: Collection, files: Files, *, progress: Progress, stop: threading.Event) -> Report:
    """Add the rows that the collection does not hold yet, and publish. The caller holds `writing()` and has checked.

    After any end the same call goes on from there.
    """
    report, started, started_at = Report(), time.perf_counter(), datetime.now(UTC).replace(tzinfo=None)
    catalog = collection.catalog
    for _, images in _batches(files, collection.identity.dim):
        held = catalog.vectors_at([image.stamp.path for image in images])
        added = [image for image in images if image.stamp.path not in held]
        if added:
            catalog.apply(Changes(added=added))
        report.new += len(added)
        report.unchanged += len(images) - len(added)
        progress(len(images))
        if stop.is_set():
            report.interrupted = True
            break
    collection.publish_if_changed()
    report.seconds = time.perf_counter() - started
    if report.wrote:
        catalog.record_run(started_at, report.to_dict())
    return report


def export_files(collection: Collection, files: Files, *, progress: Progress) -> dict[str, int]:
    """Write all images, and their captions where there is a file for their vectors. Returns the counts of both.

    The caller holds `writing()`. Files of the same names are replaced, each by one that is whole.
    """
    counts, dim = collection.catalog.counts(), collection.identity.dim
    files.vectors.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_files:
        write_rows = open_files.enter_context(writing_rows(files.rows))
        write_images = open_files.enter_context(writing_vectors(files.vectors, counts["images"], dim))
        write_texts = files.texts and open_files.enter_context(writing_vectors(files.texts, counts["texts"], dim))
        for images in collection.catalog.stored_images(ROWS_A_TRANSACTION):
            write_rows([write_row(image, captions=bool(files.texts)) for image in images])
            write_images(image.vector for image in images)
            if write_texts:
                write_texts(vector for image in images for _, vector in image.captions)
            progress(len(images))
    if files.encoder:
        with replacing(files.encoder) as aside:
            aside.write_text(collection.identity.to_json() + "\n", encoding="utf-8")
    return {"images": counts["images"], "texts": counts["texts"] if files.texts else 0}


def _batches(files: Files, dim: int) -> Iterator[tuple[int, list[NewImage]]]:
    """Some thousand rows at a time: the number of the first, and the images. BadImport at the first bad one."""
    vectors, rows = open_vectors(files.vectors, dim), read_rows(files.rows)
    captions = _Captions(files, dim)
    for start in range(0, len(vectors), ROWS_A_TRANSACTION):
        some = stored_rows(vectors, start, start + ROWS_A_TRANSACTION, files.vectors)
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
        end = self._next + count
        if end > len(self._vectors):
            raise BadImport(f"{self._files.texts} has {len(self._vectors):,} vectors, and the rows name more captions")
        stored = iter(stored_rows(self._vectors, self._next, end, self._files.texts))
        self._next = end
        return [[Caption(text, next(stored)) for text in texts] for texts in captions]

    def end(self) -> None:
        if self._vectors is not None and self._next < len(self._vectors):
            raise BadImport(f"{self._files.texts} has {len(self._vectors):,} vectors for {self._next:,} captions")
