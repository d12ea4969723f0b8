"""A directory = catalog + live indexes: create, open, refresh, publish."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np

from search.catalog import Catalog
from search.errors import CollectionError, CollectionNotFound, EncoderMismatch
from search.index import REPAIR, ExactIndex, Ids, VectorIndex, Vectors
from search.lock import write_lock
from search.types import TARGETS, EncoderIdentity, Target

CATALOG_FILE = "catalog.sqlite"
LOCK_FILE = "build.lock"
THUMBNAILS = "thumbnails"


class Collection:
    """The vectors of one encoder with their rows. Threads may share it; readers need no lock.

    `identity` says whose vectors these are.
    """

    def __init__(self, directory: Path, catalog: Catalog) -> None:
        self.directory = directory
        self.catalog = catalog
        self.identity = catalog.identity()
        self._refreshing = threading.Lock()
        self._live: tuple[int, dict[Target, VectorIndex]] = (-1, {})

    @classmethod
    def create(cls, directory: Path, identity: EncoderIdentity) -> Collection:
        """Make an empty collection in `directory`, which may exist if no collection is in it."""
        directory.mkdir(parents=True, exist_ok=True)
        with write_lock(directory / LOCK_FILE):
            if cls.exists(directory):
                raise CollectionError(f"{directory} already holds a collection")
            Catalog.create(directory / CATALOG_FILE, identity)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path) -> Collection:
        if not cls.exists(directory):
            raise CollectionNotFound(f"no collection in {directory}; make one: python -m indexer build FOLDER")
        return cls(directory, Catalog.open(directory / CATALOG_FILE))

    @staticmethod
    def exists(directory: Path) -> bool:
        return (directory / CATALOG_FILE).is_file()

    def close(self) -> None:
        self.catalog.close()

    def require(self, identity: EncoderIdentity) -> None:
        """Raise EncoderMismatch unless vectors of that encoder belong here."""
        if not self.identity.same_space(identity):
            raise EncoderMismatch(
                f"{self.directory} holds vectors of {self.identity.model} ({_short(self.identity)}), "
                f"not of {identity.model} ({_short(identity)}). Leave --model out to go on with the collection's own, "
                f"or embed again: python -m indexer build FOLDER --model {identity.model} --collection NEW_DIRECTORY"
            )

    def writing(self) -> AbstractContextManager[None]:
        """Hold the collection for writing; raises CollectionBusy when another process does."""
        return write_lock(self.directory / LOCK_FILE)

    def index(self, target: Target) -> VectorIndex:
        """The live index of `target`; a newer generation is picked up here."""
        while (generation := self.catalog.state().generation) != self._live[0]:
            with self._refreshing:
                self._refresh(generation)
        return self._live[1][target]

    def publish(self) -> None:
        """Make the indexes again from the catalog and name them as live. The caller is the only writer."""
        state = self.catalog.state()
        generation = state.generation + 1
        for target in TARGETS:
            ExactIndex.build(self.identity.dim, self._vectors(target)).save(self.index_file(target, generation))
        self.catalog.publish(generation, state.changes)
        self._remove_all_but(generation)

    def publish_if_changed(self) -> None:
        """Publish unless the live indexes hold the catalog's vectors already."""
        state = self.catalog.state()
        if state.changes != state.published_changes:
            self.publish()

    def sizes(self) -> dict[str, int]:
        """Bytes on disk: of the catalog, with its journal, of the indexes, and of the thumbnails that pages showed."""
        return {
            "catalog": _total(self.directory.glob(f"{CATALOG_FILE}*")),
            "index": _total(self.directory.glob("*.faiss")),
            "thumbnails": _total((self.directory / THUMBNAILS).rglob("*.*")),
        }

    def index_file(self, target: Target, generation: int) -> Path:
        return self.directory / f"{target}-{generation:08d}.faiss"

    def _vectors(self, target: Target) -> Iterator[tuple[Ids, Vectors]]:
        for ids, stored in self.catalog.vectors(target):
            yield ids, np.frombuffer(b"".join(stored), "<f2").reshape(len(ids), -1).astype(np.float32)

    def _refresh(self, generation: int) -> None:
        if self._live[0] == generation:
            return
        try:
            self._live = generation, {target: self._open_index(target, generation) for target in TARGETS}
        except FileNotFoundError:
            if self.catalog.state().generation == generation:
                raise CollectionError(f"{self.directory} has lost its index: {REPAIR}") from None

    def _open_index(self, target: Target, generation: int) -> ExactIndex:
        if generation == 0:
            return ExactIndex.build(self.identity.dim, ())
        return ExactIndex.open(self.index_file(target, generation))

    def _remove_all_but(self, generation: int) -> None:
        """Remove what older generations and interrupted publications left. Readers keep what they have mapped."""
        live = {self.index_file(target, generation) for target in TARGETS}
        for target in TARGETS:
            for file in self.directory.glob(f"{target}-*"):
                if file not in live:
                    file.unlink()


def _short(identity: EncoderIdentity) -> str:
    return f"weights {identity.weights_digest[:12]}, {identity.dim} dimensions"


def _total(files: Iterable[Path]) -> int:
    """Bytes of the files that are still there: a build may remove some meanwhile."""
    size_bytes = 0
    for file in files:
        with suppress(FileNotFoundError):
            size_bytes += file.stat().st_size
    return size_bytes
