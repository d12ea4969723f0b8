"""The verbs import and export: arguments -> files, and the collection that takes them in or gives them out."""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from indexer import say
from indexer.opening import Tell, identity_of
from indexer.signals import stop_on_signals
from indexer.transfer import Files, check, dim_of, export_files, files_in, import_files, said_identity
from search.collection import Collection
from search.errors import BadImport
from search.exit_codes import INTERRUPTED, OK
from search.snapshot import is_snapshot, restore_snapshot, take_snapshot
from search.types import EncoderIdentity


def import_(arguments: Namespace) -> int:
    if arguments.folder and is_snapshot(arguments.folder):
        return _restore(arguments)
    files = _files(arguments)
    collection = _open(arguments.collection, files, model=arguments.model, tell=say.note)
    with closing(collection), collection.writing(), stop_on_signals() as stop, _bar() as bar:
        report = import_files(collection, files, progress=bar.update, stop=stop)
    say.result(report.to_dict(), say.report(report), arguments)
    return INTERRUPTED if report.interrupted else OK


def export(arguments: Namespace) -> int:
    if arguments.snapshot:
        return _snapshot(arguments)
    files = _files(arguments)
    with (
        closing(Collection.open(arguments.collection)) as collection,
        collection.writing(),
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
    with closing(Collection.open(arguments.collection)) as collection:
        counts = take_snapshot(collection, arguments.folder)
    words = f"{counts['images']:,} images and {counts['texts']:,} captions, and all else, are in {arguments.folder}"
    say.result(counts, words, arguments)
    return OK


def _restore(arguments: Namespace) -> int:
    with closing(restore_snapshot(arguments.folder, arguments.collection)) as collection:
        counts = collection.catalog.counts()
    words = f"{counts['images']:,} images and {counts['texts']:,} captions are in {arguments.collection} as they were"
    say.result(counts, words, arguments)
    return OK


def _files(arguments: Namespace) -> Files:
    """The files of the folder, those that are named instead of or before it. Raises BadImport where there are none."""
    named = {name: getattr(arguments, name) for name in ("vectors", "rows", "texts", "encoder")}
    given = {name: file for name, file in named.items() if file}
    if arguments.folder:
        files = files_in(arguments.folder)
        if arguments.verb == "import":
            files = _that_exist(files)
        return replace(files, **given)
    if not (named["vectors"] and named["rows"]):
        raise BadImport("name the folder, or the files with --vectors FILE.npy --rows FILE.json")
    return Files(**named)


def _open(directory: Path, files: Files, *, model: str | None, tell: Tell) -> Collection:
    """The collection that takes in `files`, which can be imported whole; made if there is none.

    Raises BadImport, and EncoderMismatch for vectors of another encoder than the collection's.
    """
    identity = _identity(files, model, tell)
    collection = Collection.open(directory) if Collection.exists(directory) else None
    if collection and identity:
        collection.require(identity)
    if not (known := collection.identity if collection else identity):
        raise BadImport("say whose vectors these are: --model NAME, or --encoder FILE from an export")
    count = check(files, known.dim, collection.catalog if collection else None)
    tell(f"{count:,} rows are sound")
    collection = collection or Collection.create(directory, known)
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
