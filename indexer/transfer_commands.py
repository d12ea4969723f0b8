"""The verbs import and export: arguments -> files, and the collection that takes them in or gives them out."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from indexer import say
from indexer.asked import index_policy
from indexer.export import export_files, export_set
from indexer.layouts import Files, files_in, is_set, shards_in
from indexer.opening import Tell, identity_of
from indexer.signals import stop_on_signals
from indexer.transfer import check, dim_of, import_files, said_identity
from indexer.transfer_options import CLIP_RETRIEVAL, OWN
from search.collection import Collection
from search.errors import BadImport
from search.exit_codes import INTERRUPTED, OK
from search.snapshot import is_snapshot, restore_snapshot, take_snapshot
from search.types import EncoderIdentity


def import_(arguments: Namespace) -> int:
    if arguments.folder and is_snapshot(arguments.folder):
        return _restore(arguments)
    shards = _shards(arguments)
    collection = _open(arguments.collection, shards, model=arguments.model, catalog=arguments.catalog, tell=say.note)
    with closing(collection), collection.writing(), stop_on_signals() as stop, _bar() as bar:
        index = index_policy(collection.published(), arguments)
        report = import_files(collection, shards, index=index, progress=bar.update, stop=stop)
    say.result(report.to_dict(), say.report(report), arguments)
    return INTERRUPTED if report.interrupted else OK


def export(arguments: Namespace) -> int:
    if arguments.snapshot:
        return _snapshot(arguments)
    if arguments.layout == CLIP_RETRIEVAL:
        return _export_set(arguments)
    files = _files(arguments)
    with (
        closing(Collection.open(arguments.collection)) as collection,
        collection.writing(to_write=False),
        _bar() as bar,
    ):
        counts = export_files(collection, files, progress=bar.update)
    words = f"{counts['images']:,} images and {counts['texts']:,} captions are in {files.vectors.parent}"
    say.result(counts, words, arguments)
    return OK


def _snapshot(arguments: Namespace) -> int:
    """Without waiting for a build, which may go on meanwhile."""
    if not arguments.folder:
        raise BadImport("name the folder that the snapshot is written to")
    if _named(arguments) or arguments.layout != OWN:
        raise BadImport("--snapshot writes the whole catalog; give the folder alone")
    with closing(Collection.open(arguments.collection)) as collection:
        counts = take_snapshot(collection, arguments.folder)
    words = f"{counts['images']:,} images and {counts['texts']:,} captions, and all else, are in {arguments.folder}"
    say.result(counts, words, arguments)
    return OK


def _restore(arguments: Namespace) -> int:
    if _named(arguments) or arguments.model or arguments.catalog:
        raise BadImport(f"{arguments.folder} is a snapshot, which says all of its collection; give --collection alone")
    with closing(restore_snapshot(arguments.folder, arguments.collection)) as collection:
        counts = collection.catalog.counts()
    words = f"{counts['images']:,} images and {counts['texts']:,} captions are in {arguments.collection} as they were"
    say.result(counts, words, arguments)
    return OK


def _export_set(arguments: Namespace) -> int:
    if _named(arguments) or not arguments.folder:
        raise BadImport(f"--layout {CLIP_RETRIEVAL} names its files itself; give the folder alone")
    with (
        closing(Collection.open(arguments.collection)) as collection,
        collection.writing(to_write=False),
        _bar() as bar,
    ):
        counts = export_set(collection, arguments.folder, progress=bar.update)
    words = f"{counts['images']:,} images, {counts['texts']:,} of them with a caption, are in {arguments.folder}"
    left = f"; {counts['left_out']:,} further captions are left out: a row has one" if counts["left_out"] else ""
    say.result(counts, words + left, arguments)
    return OK


def _shards(arguments: Namespace) -> list[Files]:
    """The shards of an embedding set, or the files as they are named, which are one."""
    if not (arguments.folder and is_set(arguments.folder)):
        return [_files(arguments)]
    named = _named(arguments)
    if further := sorted(named.keys() - {"encoder"}):
        raise BadImport(
            f"{arguments.folder} is an embedding set: leave --{further[0]} out, it has a file for each shard"
        )
    return [replace(shard, **named) for shard in shards_in(arguments.folder)]


def _named(arguments: Namespace) -> dict[str, Any]:
    named = {name: getattr(arguments, name) for name in ("vectors", "rows", "texts", "encoder")}
    return {name: file for name, file in named.items() if file}


def _files(arguments: Namespace) -> Files:
    """The files of the folder, those that are named instead of or before it. Raises BadImport where there are none."""
    given = _named(arguments)
    if arguments.folder:
        files = files_in(arguments.folder)
        if arguments.verb == "import":
            files = _that_exist(files)
        return replace(files, **given)
    if not given.keys() >= {"vectors", "rows"}:
        raise BadImport("name the folder, or the files with --vectors FILE.npy --rows FILE.json")
    return Files(**given)


def _open(
    directory: Path, shards: Sequence[Files], *, model: str | None, catalog: str | None, tell: Tell
) -> Collection:
    """The collection that takes in `shards`, which can be imported whole; made if there is none, with its catalog at
    the URL `catalog` or beside the indexes.

    Raises BadImport, and EncoderMismatch for vectors of another encoder than the collection's.
    """
    identity = _identity(shards[0], model, tell)
    collection = Collection.open(directory, catalog=catalog) if Collection.exists(directory) else None
    if collection and identity:
        collection.require(identity)
    if not (known := collection.identity if collection else identity):
        raise BadImport("say whose vectors these are: --model NAME, or --encoder FILE from an export")
    count = check(shards, known.dim, collection.catalog if collection else None)
    tell(f"{count:,} rows are sound")
    collection = collection or Collection.create(directory, known, catalog=catalog)
    if identity and not identity.is_claim:
        with collection.writing():
            collection.adopt(identity)
    return collection


def _identity(files: Files, model: str | None, tell: Tell) -> EncoderIdentity | None:
    """Who is said to have made the vectors; where a model and a file say so they must agree."""
    said = said_identity(files.encoder) if files.encoder else None
    if model is None:
        return said
    named = identity_of(model, dim=dim_of(files), tell=tell)
    if said and not named.same_space(said):
        raise BadImport(f"{files.encoder} says that the vectors are of {said.model}, not of {model} as it is here")
    return named


def _that_exist(files: Files) -> Files:
    """Without the files that an export need not have."""
    texts, encoder = (file if file and file.exists() else None for file in (files.texts, files.encoder))
    return replace(files, texts=texts, encoder=encoder)


def _bar() -> tqdm[NoReturn]:
    return tqdm(unit=" rows", disable=None, dynamic_ncols=True)
