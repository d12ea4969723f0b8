"""A directory = catalog + live indexes: create, open, refresh, publish."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.background import load_background, save_background
from search.catalog import Catalog
from search.catalog_place import catalog_place, create_catalog, open_catalog
from search.changes import STORED
from search.errors import CollectionError, EncoderMismatch
from search.exact_index import ExactIndex
from search.index import REPAIR, Ids, VectorIndex, Vectors
from search.index_recall import make_probes
from search.kinds import Publication, choose, open_index
from search.lock import write_lock
from search.types import TARGETS, EncoderIdentity, IndexFacts, IndexPolicy, Target
from search.vocabulary import Vocabulary

if TYPE_CHECKING:
    from search.keypoint_index import KeypointIndex

LOCK_FILE = "build.lock"
BACKGROUND_FILE = "background.npz"
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
        self._keypoints: tuple[int, KeypointIndex | None] = (-1, None)

    @classmethod
    def create(cls, directory: Path, identity: EncoderIdentity, *, catalog: str | None = None) -> Collection:
        """Make an empty one in `directory`, which may hold other files; the catalog there or at the URL `catalog`."""
        directory.mkdir(parents=True, exist_ok=True)
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
    def writing(self) -> Iterator[None]:
        """Hold the collection for writing; raises CollectionBusy when another process does."""
        with write_lock(self.directory / LOCK_FILE), self.catalog.writing():
            yield

    def index(self, target: Target) -> VectorIndex:
        """The live index of `target`; a newer generation is picked up here."""
        while (generation := self.catalog.state().generation) != self._live[0]:
            with self._refreshing:
                self._refresh(generation)
        return self._live[1][target]

    def held_index(self, target: Target) -> VectorIndex:
        """The index that was live when one was last asked for: the catalog is not asked again."""
        return self._live[1][target] if self._live[1] else self.index(target)

    def keypoints(self) -> KeypointIndex | None:
        """The live index of local features, None where no image has any."""
        while (generation := self.catalog.state().generation) != self._keypoints[0]:
            with self._refreshing:
                self._keypoints = generation, self._open_keypoints(generation)
        return self._keypoints[1]

    def published(self) -> Publication:
        """How the live indexes were chosen and what is known of them."""
        return Publication.load(self._publication_file(self.catalog.state().generation))

    def recall(self, target: Target) -> dict[str, float]:
        """What was measured of the live index, by modality; nothing of one that compares everything."""
        facts = self.published().facts.get(target)
        return facts.recall if facts else {}

    def tag(self, vocabulary: Vocabulary) -> None:
        """Tag every image by `vocabulary`, in place of the tags that there are. The caller is the only writer."""
        self.catalog.tags.replace(vocabulary, self._vectors("images"))

    def publish(self, policy: IndexPolicy | None = None) -> None:
        """Make the indexes again from the catalog and name them as live. The caller is the only writer.

        `policy` says what they shall be; None is the same as the last time. New images are tagged before they can be
        found, so that none with a sensitive tag is shown in between.
        """
        self.catalog.tags.extend(partial(self._vectors, "images"))
        state = self.catalog.state()
        policy, generation = policy or self.published().policy, state.generation + 1
        exact = {target: ExactIndex.build(self.identity.dim, self._vectors(target)) for target in TARGETS}
        facts: dict[Target, IndexFacts] = {}
        background = self.background()
        for target in TARGETS:
            probes = make_probes(target, exact, background)
            index, facts[target] = choose(exact[target], policy, probes, self._last_index(target))
            index.save(self.index_file(target, generation))
        self._publish_keypoints(generation)
        Publication(policy, facts).save(self._publication_file(generation))
        self.catalog.publish(generation, state.changes)
        self._remove_all_but(generation)

    def publish_if_changed(self, policy: IndexPolicy | None = None) -> None:
        """Publish unless the live indexes hold the catalog's vectors already, as `policy` asks for them."""
        state = self.catalog.state()
        changed = state.changes != state.published_changes or policy not in (None, self.published().policy)
        if changed or self._lacks_keypoints(state.generation):
            self.publish(policy)

    def background(self) -> Vectors | None:
        """The vectors of search.background.BACKGROUND_TEXTS, (n, dim), if they were kept here."""
        return load_background(self.directory / BACKGROUND_FILE)

    def keep_background(self, vectors: Vectors) -> None:
        save_background(self.directory / BACKGROUND_FILE, vectors)

    def forget_background(self) -> None:
        (self.directory / BACKGROUND_FILE).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk: of the catalog, with its journal, of the indexes, and of the thumbnails that pages showed."""
        return {
            "catalog": self.catalog.size_bytes(),
            "index": _total(self.directory.glob("*.faiss")),
            "thumbnails": _total((self.directory / THUMBNAILS).rglob("*.*")),
        }

    def index_file(self, target: Target, generation: int) -> Path:
        return self.directory / f"{target}-{generation:08d}.faiss"

    def keypoints_file(self, generation: int) -> Path:
        return self.directory / f"keypoints-{generation:08d}.faiss"

    def _publish_keypoints(self, generation: int) -> None:
        if not self.catalog.features.any():
            return
        from search.keypoint_index import KeypointIndex  # OpenCV, which no search by an embedding needs

        try:
            last = self._open_keypoints(generation - 1, mapped=False)
        except CollectionError:
            last = None
        KeypointIndex.of(self.catalog.features, last).save(self.keypoints_file(generation))

    def _open_keypoints(self, generation: int, *, mapped: bool = True) -> KeypointIndex | None:
        """The index of that generation; None where it has none, or is not the live one any more."""
        from search.keypoint_index import KeypointIndex

        try:
            return KeypointIndex.open(self.keypoints_file(generation), mapped=mapped)
        except FileNotFoundError:
            return None

    def _lacks_keypoints(self, generation: int) -> bool:
        """Whether an older release published this, which made no index of local features."""
        return not self.keypoints_file(generation).exists() and self.catalog.features.any()

    def _vectors(self, target: Target, after: int = 0) -> Iterator[tuple[Ids, Vectors]]:
        for ids, stored in self.catalog.vectors(target, after):
            yield ids, np.frombuffer(b"".join(stored), STORED).reshape(len(ids), -1)

    def _publication_file(self, generation: int) -> Path:
        return self.directory / f"published-{generation:08d}.json"

    def _last_index(self, target: Target) -> VectorIndex | None:
        """The live index, if it is in order: what is published next can do without."""
        try:
            return self.index(target)
        except CollectionError:
            return None

    def _refresh(self, generation: int) -> None:
        if self._live[0] == generation:
            return
        try:
            self._live = generation, {target: self._open_index(target, generation) for target in TARGETS}
        except FileNotFoundError:
            if self.catalog.state().generation == generation:
                raise CollectionError(f"{self.directory} has lost its index: {REPAIR}") from None

    def _open_index(self, target: Target, generation: int) -> VectorIndex:
        if generation == 0:
            return ExactIndex.build(self.identity.dim, ())
        return open_index(self.index_file(target, generation))

    def _remove_all_but(self, generation: int) -> None:
        """Remove what older generations and interrupted publications left. Readers keep what they have mapped."""
        live = {self._publication_file(generation), self.keypoints_file(generation)}
        live.update(self.index_file(target, generation) for target in TARGETS)
        for kind in ("published", "keypoints", *TARGETS):
            for file in self.directory.glob(f"{kind}-*"):
                if file not in live:
                    file.unlink()


def _short(identity: EncoderIdentity) -> str:
    weights = f"weights {identity.weights_digest[:12]}" if identity.weights_digest else "weights not known"
    return f"{weights}, {identity.dim} dimensions"


def _total(files: Iterable[Path]) -> int:
    """Bytes of the files that are still there: a build may remove some meanwhile."""
    size_bytes = 0
    for file in files:
        with suppress(FileNotFoundError):
            size_bytes += file.stat().st_size
    return size_bytes
