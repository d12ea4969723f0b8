"""A collection -> files of vectors and rows: those of one export, or the shards of an embedding set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

from indexer.described import write_row
from indexer.layouts import SET_COLUMNS, SHARD_ROWS, Files, is_set, new_shard, set_row
from indexer.rows import COLUMNS, Row, writing_rows
from indexer.transfer import ROWS_A_TRANSACTION, Progress
from indexer.vectors import writing_vectors
from search.bulk import StoredImage
from search.collection import Collection
from search.errors import BadImport
from search.files import replacing
from search.types import EncoderIdentity


def export_files(collection: Collection, files: Files, *, progress: Progress) -> dict[str, int]:
    """Write all images, and their captions where there is a file for their vectors. Returns the counts of both.

    The caller holds `writing()`. Files of the same names are replaced, each by one that is whole.
    """
    counts = collection.catalog.counts()
    images = chain.from_iterable(collection.catalog.bulk.images(ROWS_A_TRANSACTION))
    _write(files, images, counts, collection.identity.dim, progress)
    if files.encoder:
        _say_identity(files.encoder, collection.identity)
    return {"images": counts["images"], "texts": counts["texts"] if files.texts else 0}


def export_set(
    collection: Collection, folder: Path, *, progress: Progress, shard_rows: int = SHARD_ROWS
) -> dict[str, int]:
    """Write all images as an embedding set, each with its first caption; `left_out` counts the other captions.

    A collection without vectors of captions has no `text_emb`. The caller holds `writing()`.
    """
    counts = collection.catalog.counts()
    if is_set(folder):
        raise BadImport(f"{folder} holds an embedding set already; name another folder")
    images = chain.from_iterable(collection.catalog.bulk.images(ROWS_A_TRANSACTION))
    with_captions = 0

    def counted(some: Iterable[StoredImage]) -> Iterator[StoredImage]:
        nonlocal with_captions
        for image in some:
            with_captions += bool(image.captions)
            yield image

    for number, start in enumerate(range(0, counts["images"], shard_rows)):
        rows = min(shard_rows, counts["images"] - start)
        shard = new_shard(folder, number, texts=counts["texts"] > 0)
        sizes = {"images": rows, "texts": rows}
        _write(shard, counted(islice(images, rows)), sizes, collection.identity.dim, progress)
    folder.mkdir(parents=True, exist_ok=True)  # of an empty collection there is no shard
    _say_identity(folder / "encoder.json", collection.identity)
    return {"images": counts["images"], "texts": with_captions, "left_out": counts["texts"] - with_captions}


def _write(
    files: Files, images: Iterator[StoredImage], counts: Mapping[str, int], dim: int, progress: Progress
) -> None:
    for file in (files.vectors, files.rows, files.texts):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_files:
        write_rows = open_files.enter_context(writing_rows(files.rows, SET_COLUMNS if files.of_set else COLUMNS))
        write_images = open_files.enter_context(writing_vectors(files.vectors, counts["images"], dim))
        write_texts = files.texts and open_files.enter_context(writing_vectors(files.texts, counts["texts"], dim))
        while some := list(islice(images, ROWS_A_TRANSACTION)):
            write_rows([_row(image, files) for image in some])
            write_images(image.vector for image in some)
            if write_texts:
                write_texts(vector for image in some for vector in _caption_vectors(image, files))
            progress(len(some))


def _row(image: StoredImage, files: Files) -> Row:
    texts = files.texts is not None
    return set_row(image, texts=texts) if files.of_set else write_row(image, captions=texts)


def _caption_vectors(image: StoredImage, files: Files) -> list[bytes]:
    """Of all captions; in an embedding set of the first, or zeros."""
    vectors = [vector for _, vector in image.captions]
    return (vectors or [bytes(len(image.vector))])[:1] if files.of_set else vectors


def _say_identity(file: Path, identity: EncoderIdentity) -> None:
    with replacing(file) as aside:
        aside.write_text(identity.to_json() + "\n", encoding="utf-8")
