"""The collections that one application serves: a name -> its shelf, with everything that answering from it needs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.exceptions import NotFound

from search.batching import BatchingEncoder
from search.catalog_place import THUMBNAILS
from search.classify import Classifier, Nearest, make_classifier
from search.collection import Collection
from search.errors import NoTextTower, SearchError
from search.query import IdTerm
from search.records import Choices, ImageRecord
from search.searcher import Searcher
from search.settings import Settings
from search.timing import Observe, ignore
from search.types import TARGETS, EncoderIdentity, Target
from web.thumbnails import Thumbnails
from web.uploads import Uploads

if TYPE_CHECKING:
    from search.encoder import Encoder

LoadEncoder = Callable[[EncoderIdentity], "Encoder"]
"""The identity of a collection's encoder -> that encoder."""

MAX_ID = 2**63 - 1
"""The largest id that a catalog can hold."""

CLASSIFIERS = 4
"""Sets of labels and templates whose vectors a shelf keeps, for who classifies one picture after the other."""

_WIDER = 8
"""How many more images are looked at for a sample where some are hidden."""

_Version = tuple[int, int]
_NEVER: _Version = (-1, -1)

_log = logging.getLogger(__name__)


class Shelf:
    """One collection with its name in URLs, its searcher and its thumbnails.

    `option` is what the command lines have to be told of it: nothing of the default collection.
    """

    def __init__(self, name: str, searcher: Searcher) -> None:
        self.name = name
        self.searcher = searcher
        self.collection = searcher.collection
        self.catalog = searcher.collection.catalog
        directory = self.collection.directory
        is_default = directory.resolve() == Settings.from_environment().collection.resolve()
        self.option = "" if is_default else f" --collection …/{directory.name}"
        self.thumbnails = Thumbnails(self.collection.directory / THUMBNAILS)
        self._sample: tuple[_Version, list[int]] = (_NEVER, [])
        self._choices: tuple[_Version, Choices] = (_NEVER, Choices())
        self._swept = -1
        self.classifier = lru_cache(CLASSIFIERS)(self._classifier)

    def record(self, image_id: int) -> ImageRecord:
        """The row of an image; NotFound without one."""
        found = self.catalog.images([image_id]) if 0 < image_id <= MAX_ID else {}
        if image_id not in found:
            raise NotFound(f"no image has the id {image_id} in the collection {self.name}")
        return found[image_id]

    def sizes(self) -> dict[Target, int]:
        """How many images and texts are searched."""
        return {target: len(self.collection.index(target)) for target in TARGETS}

    def sample(self, count: int) -> list[int]:
        """The ids of some images, spread over the live index, without hidden ones; the same until one is published."""
        version = self._version()
        if self._sample[0] != version:
            index, hidden = self.collection.index("images"), self.catalog.tags.hidden("images")
            asked = _WIDER * count if hidden else count
            places = dict.fromkeys(place * len(index) // asked for place in range(asked))
            ids = [int(id_) for place in places for id_ in index.contents(place, 1)[0] if id_ not in hidden]
            self._sample = version, ids[:: max(1, len(ids) // count)][:count]
        return self._sample[1]

    def choices(self) -> Choices:
        """What the images differ in, kept until a build publishes or tags change."""
        version = self._version()
        if self._choices[0] != version:
            self._choices = version, self.catalog.choices()
        return self._choices[1]

    def nearest_labels(self, image_id: int, classifier: Classifier | None, count: int) -> list[Nearest]:
        """The labels nearest to an image, of `classifier` or else of the collection's own, where it has any."""
        own = self.catalog.tags.vocabulary() if classifier is None else None
        chosen = own.classifier if own else classifier
        return chosen.nearest(self.searcher.embedder.embed(IdTerm(image_id)), count) if chosen else []

    def _version(self) -> _Version:
        state = self.catalog.state()
        return state.generation, state.tag_changes

    def _classifier(self, labels: tuple[str, ...], templates: tuple[str, ...]) -> Classifier:
        return make_classifier(self.searcher.embedder.encoder, labels, templates)

    def warm(self) -> None:
        """Do once what would make the first request slow."""
        for target in TARGETS:
            self.collection.index(target)
        with suppress(NoTextTower):  # raised by a model that is loaded, which is all there is to do
            self.searcher.by_text("warm", k=1)

    def sweep(self) -> None:
        """Remove the thumbnails of images that are gone, if anything was published since the last time."""
        generation = self.catalog.state().generation
        if generation != self._swept:
            self.thumbnails.sweep(self.catalog.images)
            self._swept = generation


class Library:
    """All shelves, the first of which is the default, and the pictures that visitors asked with."""

    def __init__(
        self,
        collections: Sequence[Collection],
        load_encoder: LoadEncoder,
        uploads: Uploads,
        *,
        observe: Observe = ignore,
    ) -> None:
        self._load_encoder = load_encoder
        self._encoders: dict[EncoderIdentity, Encoder] = {}
        self._loading = threading.Lock()
        self._warmed = threading.Event()
        self.uploads = uploads
        self.shelves = {
            name: Shelf(name, Searcher(collection, partial(self._encoder, collection.identity), observe=observe))
            for name, collection in _named(collections)
        }
        self.default = next(iter(self.shelves.values()))

    def shelf(self, name: str | None) -> Shelf:
        """The shelf of this name, the default one for None or ""; NotFound for a name that is not served."""
        if not name:
            return self.default
        if name not in self.shelves:
            raise NotFound(f"no collection is called {name!r}; there are: {', '.join(self.shelves)}")
        return self.shelves[name]

    @property
    def ready(self) -> bool:
        """Whether the models are loaded, so that a query is answered at once."""
        return self._warmed.is_set()

    def warm(self) -> None:
        """Load every model and index. What cannot be loaded is logged and told again to the queries that need it."""
        try:
            for shelf in self.shelves.values():
                shelf.warm()
        except SearchError as error:
            _log.error("not ready: %s", error)
        else:
            self._warmed.set()

    def _encoder(self, identity: EncoderIdentity) -> Encoder:
        """Loaded once for all collections of the encoder, whichever threads ask first."""
        with self._loading:
            if identity not in self._encoders:
                self._encoders[identity] = BatchingEncoder(self._load_encoder(identity))
            return self._encoders[identity]


def _named(collections: Sequence[Collection]) -> Iterator[tuple[str, Collection]]:
    """Each collection under its directory's name, with a number where that is taken."""
    taken: set[str] = set()
    for collection in collections:
        stem = Path(collection.directory).resolve().name or "collection"
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        yield name, collection
