"""A collection -> a folder that has all of it as it was at one moment; that folder -> the collection again."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from search.catalog import Catalog
from search.catalog_place import CATALOG_FILE, catalog_place
from search.collection import Collection
from search.errors import BadImport, CollectionError
from search.files import file_digest, make_folder, replacing, sync_folder
from search.kinds import Publication
from search.sqlite import copy
from search.types import IndexPolicy

MANIFEST = "snapshot.json"

_DIGITS = 12
_OF_A_SNAPSHOT = re.compile(rf"catalog-[0-9a-f]{{{_DIGITS}}}\.sqlite")
"""The names of its catalogs, of which a killed run may leave one. Catalogs of other names are somebody else's."""


def is_snapshot(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def take_snapshot(collection: Collection, folder: Path) -> dict[str, int]:
    """Write the catalog as it is now into `folder`; a snapshot that is there stays until this one is whole.

    Others may write the collection meanwhile. Indexes are left out: they are made of the catalog. Returns the counts of
    images and texts.
    """
    place = catalog_place(collection.directory)
    if not isinstance(place, Path):
        raise CollectionError(f"the catalog is in a database ({place}), which makes its own copies: pg_dump")
    make_folder(folder)
    aside = folder / "catalog.new"
    aside.unlink(missing_ok=True)
    try:
        copy(place, aside)
        with closing(Catalog.open(aside)) as catalog:
            counts = catalog.counts()
        digest, taken = file_digest(aside), {name: counts[name] for name in ("images", "texts")}
        file = folder / f"catalog-{digest[:_DIGITS]}.sqlite"
        with replacing(file) as new:
            aside.replace(new)
    finally:
        aside.unlink(missing_ok=True)
    with replacing(folder / MANIFEST) as manifest:
        manifest.write_text(json.dumps({"file": file.name, "sha256": digest, **taken}, indent=1), encoding="utf-8")
    for other in folder.iterdir():
        if _OF_A_SNAPSHOT.fullmatch(other.name) and other != file:
            other.unlink()
    return taken


def restore_snapshot(folder: Path, directory: Path) -> Collection:
    """Make the collection in `directory`, with an index, of a snapshot: every row and vector bit for bit.

    All or nothing. Raises BadImport for a damaged snapshot, CollectionError where there is something already.
    """
    manifest = _manifest(folder)
    if directory.exists() and any(directory.iterdir()):
        raise CollectionError(f"{directory} is not empty: a snapshot becomes a new collection, name another directory")
    aside = directory.with_name(f".{directory.name}.restoring")  # what a killed restore left goes
    shutil.rmtree(aside, ignore_errors=True)
    make_folder(aside)
    try:
        _copy_catalog(folder / manifest["file"], manifest["sha256"], aside)
        with closing(Collection.open(aside)) as made, made.writing():
            _forget_server(made)
            made.publish()
        aside.replace(directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(directory.parent)
    return Collection.open(directory)


def _copy_catalog(file: Path, digest: str, directory: Path) -> None:
    with replacing(directory / CATALOG_FILE) as place:
        shutil.copyfile(file, place)
        if file_digest(place) != digest:
            raise BadImport(f"{file} is damaged: its digest is not that of {MANIFEST}")


def _forget_server(copy_of: Collection) -> None:
    """An index in a server is that of the collection of which this is a copy; its own will be in files."""
    state, known = copy_of.catalog.state(), copy_of.published()
    if known.served or known.superseded:
        forgotten = Publication(IndexPolicy(min_recall=known.policy.min_recall))
        copy_of.catalog.publish(state.generation, state.published_changes, forgotten.to_dict())


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        names = {name: str(manifest[name]) for name in ("file", "sha256")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadImport(f"{folder / MANIFEST} is damaged or cannot be read: {error}") from error
    if names["file"] != Path(names["file"]).name or not (folder / names["file"]).is_file():
        raise BadImport(f"{folder} has lost the file that {MANIFEST} names")
    return names
