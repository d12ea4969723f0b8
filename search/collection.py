"""A directory = catalog + live indexes: create, open, refresh, publish."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from search.background import load_background, save_background
from search.catalog import Catalog
from search.catalog_place import THUMBNAILS, catalog_place, create_catalog, open_catalog
from search.errors import CollectionError, EncoderMismatch
from search.exact_index import ExactIndex
from search.files import make_folder, total_bytes
from search.index import REPAIR, VectorIndex, Vectors
from search.index_place import PUBLISHED, announce, index_file, make_indexes, open_indexes
from search.kinds import Publication
from search.lock import write_lock
from search.records import State
from search.seals import Seal
from search.source import Source
from search.types import TARGETS, EncoderIdentity, IndexPolicy, Target
from search.vocabulary import Vocabulary

if TYPE_CHECKING:
    from search.keypoint_index import KeypointIndex

LOCK_FILE = "build.lock"
BACKGROUND_FILE = "background.bin"


class Collection:
    """The vectors of one encoder with their rows. Threads may share it; readers need no lock.

    `identity` says whose vectors these are.
    """

    def __init__(self, directory: Path, catalog: Catalog) -> None:
        self.directory = directory
        self.catalog = catalog
        self.identity = catalog.identity()
        self._source = Source(catalog, self.identity.dim)
        self._refreshing = threading.Lock()
        self._live: tuple[int, dict[Target, VectorIndex]] = (-1, {})
        self._keypoints: tuple[int, KeypointIndex | None] = (-1, None)

    @classmethod
    def create(cls, directory: Path, identity: EncoderIdentity, *, catalog: str | None = None) -> Collection:
        """Make an empty one in `directory`, which may hold other files; the catalog there or at the URL `catalog`."""
        make_folder(directory)
        with write_lock(directory / LOCK_FILE):
            if cls.exists(directory):
                raise CollectionError(f"{directory} already holds a collection")
            create_catalog(directory, identity, catalog)
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path, *, catalog: str | None = None) -> Collection:
        """Open the collection in `directory`; CollectionError where its catalog is not at the URL `catalog`, if any."""
        return cls(directory, open_catalog(directory, catalog))

    @staticmethod
    def exists(directory: Path) -> bool:
        return catalog_place(directory) is not None

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

    def adopt(self, identity: EncoderIdentity) -> None:
        """Like `require`; what was known by name alone is known wholly from now on. The caller is the only writer."""
        self.require(identity)
        if self.identity.is_claim:
            self.catalog.adopt(identity)
            self.identity = identity

    @contextmanager
    def writing(self, *, to_write: bool = True) -> Iterator[None]:
        """Hold the collection for writing, or only still; raises CollectionBusy when another process does."""
        with write_lock(self.directory / LOCK_FILE, to_write=to_write), self.catalog.writing():
            yield

    def index(self, target: Target) -> VectorIndex:
        """The live index of `target`; a newer generation is picked up here."""
        return self.live(target)[0]

    def live(self, target: Target) -> tuple[VectorIndex, State]:
        """The live index of `target`, and the state of the catalog that named it."""
        while True:
            state, (generation, indexes) = self.catalog.state(), self._live
            if generation == state.generation:
                return indexes[target], state
            with self._refreshing:
                if self._live[0] != state.generation and (opened := self._opened(state.generation)):
                    self._live = state.generation, opened

    def held_index(self, target: Target) -> VectorIndex:
        """The index that was live when one was last asked for: the catalog is not asked again."""
        return self._live[1][target] if self._live[1] else self.index(target)

    def reopen(self) -> None:
        """Read the live indexes again when they are next asked for, even if they are open."""
        with self._refreshing:
            self._live, self._keypoints = (-1, {}), (-1, None)

    def keypoints(self) -> KeypointIndex | None:
        """The live index of local features, None where no image has any."""
        while (generation := self.catalog.state().generation) != self._keypoints[0]:
            with self._refreshing:
                self._keypoints = generation, self._open_keypoints(generation)
        return self._keypoints[1]

    def published(self) -> Publication:
        """How the live indexes were chosen and what is known of them."""
        return Publication.from_dict(self.catalog.publication()[1])

    def recall(self, target: Target) -> dict[str, float]:
        """What was measured of the live index, by modality; nothing of one that compares everything."""
        facts = self.published().facts.get(target)
        return facts.recall if facts else {}

    def tag(self, vocabulary: Vocabulary) -> None:
        """Tag every image by `vocabulary`, in place of the tags that there are. The caller is the only writer."""
        self.catalog.tags.replace(vocabulary, self._source.vectors("images"))

    def publish(self, policy: IndexPolicy | None = None) -> None:
        """Make the indexes again from the catalog and name them as live. The caller is the only writer.

        `policy` says what they shall be; None is the same as the last time. New images are tagged before they can be
        found, so that none with a sensitive tag is shown in between.
        """
        self.catalog.tags.extend(partial(self._source.vectors, "images"))
        state = self.catalog.state()
        policy, generation = policy or self.published().policy, state.generation + 1
        last, source = self._last_publication(), replace(self._source, background=self.background())
        keypoints = self._publish_keypoints(generation, last)
        made = make_indexes(self.directory, source, policy, generation, last=last, last_index=self._last_index)
        made.seals.update(keypoints)
        self.catalog.publish(generation, state.changes, made.to_dict())
        self._remove_all_but(generation)
        announce(made)

    def publish_if_changed(self, policy: IndexPolicy | None = None) -> None:
        """Publish unless the live indexes hold the catalog's vectors already, as `policy` asks for them."""
        state, live = self.catalog.state(), self.published()
        changed = state.changes != state.published_changes or policy not in (None, live.policy)
        sealed = {*(() if live.served else TARGETS), *(("keypoints",) if self.catalog.features.any() else ())}
        if changed or (state.generation and not sealed <= live.seals.keys()):  # by an older release
            self.publish(policy)

    def background(self) -> Vectors | None:
        """The vectors of search.background.BACKGROUND_TEXTS, (n, dim), if they were kept here."""
        return load_background(self.directory / BACKGROUND_FILE, self.identity)

    def keep_background(self, vectors: Vectors) -> None:
        save_background(self.directory / BACKGROUND_FILE, self.identity, vectors)

    def forget_background(self) -> None:
        (self.directory / BACKGROUND_FILE).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk: of the catalog, with its journal, of the indexes, and of the thumbnails that pages showed."""
        return {
            "catalog": self.catalog.size_bytes(),
            "index": total_bytes(file for of in PUBLISHED for file in self.directory.glob(f"{of}-*")),
            "thumbnails": total_bytes((self.directory / THUMBNAILS).rglob("*.*")),
        }

    def index_file(self, of: str, generation: int) -> Path:
        return index_file(self.directory, of, generation)

    def _publish_keypoints(self, generation: int, before: Publication) -> dict[str, Seal]:
        if not self.catalog.features.any():
            return {}
        from search.keypoint_index import KeypointIndex  # OpenCV, which no search by an embedding needs

        try:
            last = self._open_keypoints(generation - 1, mapped=False) if "keypoints" in before.seals else None
        except CollectionError:
            last = None
        made = KeypointIndex.of(self.catalog.features, last)
        return {"keypoints": made.save(self.index_file("keypoints", generation))}

    def _open_keypoints(self, generation: int, *, mapped: bool = True) -> KeypointIndex | None:
        """The index of that generation; None where it has none, or is not the live one any more."""
        from search.keypoint_index import KeypointIndex

        live, known = self.catalog.publication()
        if live != generation:
            return None
        seal = Publication.from_dict(known).seals.get("keypoints")
        try:
            return KeypointIndex.open(self.index_file("keypoints", generation), seal, mapped=mapped)
        except FileNotFoundError:
            if seal is None or self.catalog.state().generation != generation:
                return None
            raise CollectionError(f"{self.directory} has lost its index of local features: {REPAIR}") from None

    def _last_publication(self) -> Publication:
        """What is known of the live indexes; nothing, where that is damaged."""
        try:
            return self.published()
        except CollectionError:
            return Publication()

    def _last_index(self, target: Target) -> VectorIndex | None:
        """The live index, if it is in order: what is published next can do without."""
        try:
            return self.index(target)
        except CollectionError:
            return None

    def _opened(self, generation: int) -> dict[Target, VectorIndex] | None:
        """The indexes of `generation`; None where another one is live meanwhile, which may have removed them."""
        if generation == 0:
            return {target: ExactIndex.build(self.identity.dim, ()) for target in TARGETS}
        live, known = self.catalog.publication()
        if live != generation:
            return None
        try:
            return open_indexes(self.directory, Publication.from_dict(known), generation, self.identity.dim)
        except FileNotFoundError:
            if self.catalog.state().generation != generation:
                return None
            raise CollectionError(f"{self.directory} has lost its index: {REPAIR}") from None

    def _remove_all_but(self, generation: int) -> None:
        """Remove what older generations and interrupted publications left. Readers keep what they have mapped."""
        live = {self.index_file(of, generation) for of in PUBLISHED}
        kinds = ("published", *PUBLISHED)  # older releases noted in a file what they had published
        for file in [file for kind in kinds for file in self.directory.glob(f"{kind}-*") if file not in live]:
            file.unlink()


def _short(identity: EncoderIdentity) -> str:
    weights = f"weights {identity.weights_digest[:12]}" if identity.weights_digest else "weights not known"
    return f"{weights}, {identity.dim} dimensions"
