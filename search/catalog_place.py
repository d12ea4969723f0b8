"""The directory of a collection -> its catalog: in a file there, or at the URL that a file there says."""

from __future__ import annotations

from pathlib import Path

from search.catalog import Catalog
from search.database import Place
from search.errors import CollectionError, CollectionNotFound
from search.files import replacing
from search.types import EncoderIdentity

CATALOG_FILE = "catalog.sqlite"
CATALOG_URL_FILE = "catalog.url"
"""In place of the other one: a line."""

THUMBNAILS = "thumbnails"
"""The folder beside them in which a server keeps small pictures."""


def create_catalog(directory: Path, identity: EncoderIdentity, url: str | None) -> None:
    """Make an empty catalog in `directory`, or at the URL."""
    Catalog.create(url or directory / CATALOG_FILE, identity)
    if url:
        with replacing(directory / CATALOG_URL_FILE) as aside:
            aside.write_text(f"{url}\n", encoding="utf-8")


def open_catalog(directory: Path, url: str | None) -> Catalog:
    """The catalog of the collection in `directory`. Raises CollectionError where it is not at the URL, if one is given,
    and CollectionNotFound where there is none.
    """
    if not (place := catalog_place(directory)):
        raise CollectionNotFound(
            f"no collection in {directory}; make one: python -m indexer build FOLDER --collection {directory}"
        )
    if url not in (None, place):
        raise CollectionError(
            f"the catalog of {directory} is {place}, not {url}: leave --catalog out to go on with it, or name another "
            "--collection"
        )
    return Catalog.open(place)


def catalog_place(directory: Path) -> Place | None:
    """The file or the URL; None where there is no collection."""
    if (file := directory / CATALOG_FILE).is_file():
        return file
    try:
        return (directory / CATALOG_URL_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
