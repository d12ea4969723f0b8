"""A collection or a folder -> its pictures, the vectors of those that are asked for, and the encoder for texts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from indexer.asked import encoder_for, loader_for, options_of, pictures_of
from indexer.encode import encode_files
from indexer.opening import open_collection
from search.changes import STORED
from search.collection import Collection
from search.errors import BadQuery, CollectionError
from search.settings import Settings

if TYPE_CHECKING:
    from search.encoder import Encoder

NAMED = 5
"""How many names a message gives of those that it counts."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """`rows` is (n, dim), in the order of `paths`; `unreadable` has the reason by path."""

    paths: list[str]
    rows: NDArray[np.float32]
    unreadable: dict[str, str]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures that texts look for. Vectors are read or made when they are asked for."""

    paths: Sequence[str]
    encoder: Encoder
    vectors: Callable[[Sequence[str]], Encoded]


@contextmanager
def gallery_of(arguments: Namespace) -> Iterator[Gallery]:
    """The folder that is asked for with the model, or else the collection with its own.

    Raises NoTextTower before any picture is encoded.
    """
    if arguments.folder:
        encoder = encoder_for(arguments)
        encoder.count_tokens([""])
        yield Gallery(pictures_of(arguments), encoder, lambda paths: _encoded(paths, encoder, arguments))
        return
    if arguments.model != Settings.from_environment().model:
        raise BadQuery(f"--model {arguments.model} goes with a FOLDER; a collection has its own model")
    collection, load = open_collection(arguments.collection, loader=loader_for(arguments))
    with closing(collection):
        encoder = load()
        encoder.count_tokens([""])
        ids = {path: known.id for path, known in collection.catalog.known_files("/").items()}
        yield Gallery(list(ids), encoder, lambda paths: _stored(paths, ids, collection))


def _encoded(paths: Sequence[str], encoder: Encoder, arguments: Namespace) -> Encoded:
    good: list[str] = []
    unreadable: dict[str, str] = {}
    rows = [np.empty((0, encoder.identity.dim), np.float32)]
    with tqdm(paths, unit=" images", disable=None, dynamic_ncols=True) as shown:
        for batch in encode_files(shown, encoder, options_of(arguments)):
            good += [file.path for file in batch.files if file.reason is None]
            unreadable |= {file.path: file.reason for file in batch.files if file.reason is not None}
            rows.append(batch.rows)
    return Encoded(good, np.concatenate(rows), unreadable)


def _stored(paths: Sequence[str], ids: Mapping[str, int], collection: Collection) -> Encoded:
    """As the collection holds them. Raises CollectionError where some were removed meanwhile."""
    places = {ids[path]: place for place, path in enumerate(paths)}
    rows = np.zeros((len(paths), collection.identity.dim), np.float32)
    missing = dict(enumerate(paths))
    for some, vectors, _ in collection.catalog.bulk.vectors("images"):
        for image_id, vector in zip(some.tolist(), vectors, strict=True):
            if (place := places.get(image_id)) is not None:
                rows[place] = np.frombuffer(vector, STORED)
                del missing[place]
    if missing:
        raise CollectionError(f"{collection.directory} is being changed; try again when that is done")
    return Encoded(list(paths), rows, {})


@dataclass(frozen=True, slots=True)
class Matched:
    """Which path each name means, and the names that mean none."""

    paths: dict[str, str]
    missing: list[str]


def match(names: Sequence[str], paths: Sequence[str]) -> Matched:
    """Pictures by file name; where several have it, by the folders that the name begins with.

    Raises BadQuery where a name means several pictures, where two names mean one, and where no name means any.
    """
    by_file_name: dict[str, list[str]] = {}
    for path in paths:
        by_file_name.setdefault(PurePath(path).name, []).append(path)
    found = {name: _meant(name, by_file_name.get(PurePath(name).name, [])) for name in names}
    if several := [name for name, candidates in found.items() if len(candidates) > 1]:
        two = " and ".join(found[several[0]][:2])
        raise BadQuery(f"{_counted(several)} mean more than one picture ({two}); give a folder that has each once")
    matched = {name: candidates[0] for name, candidates in found.items() if candidates}
    if not matched:
        raise BadQuery(f"none of the {len(names):,} pictures that the file names is here, such as {names[0]}")
    names_of: dict[str, list[str]] = {}
    for name, path in matched.items():
        names_of.setdefault(path, []).append(name)
    if doubles := [" and ".join(same) for same in names_of.values() if len(same) > 1]:
        raise BadQuery(f"{len(doubles):,} pictures are meant by more than one name, such as {doubles[0]}")
    return Matched(matched, [name for name, candidates in found.items() if not candidates])


def _meant(name: str, candidates: list[str]) -> list[str]:
    """Those of the candidates that lie as the name says, or else all that have its file name."""
    exact = [path for path in candidates if f"/{path}".endswith(f"/{name}")]
    return exact or candidates


def _counted(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{len(names):,} names ({', '.join(names[:NAMED])}{rest})"
