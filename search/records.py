"""What the catalog answers with."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from search.changes import StoredVector
from search.settings import MAX_PIXELS
from search.types import Facts, Root

DECODER = "the decoder of"
"""How the reason of a failure begins where the process of search/apart.py ended that had the picture."""


class KnownFile(NamedTuple):
    id: int
    size_bytes: int
    mtime_ns: int
    captions_stamp: int


class KnownFailure(NamedTuple):
    """`by_decoder` says that it took a decoder's process down."""

    size_bytes: int
    mtime_ns: int
    max_pixels: int
    by_decoder: bool


class State(NamedTuple):
    """How often vectors changed, the live generation of the indexes, the changes that it covers; how often tags did;
    the followed folders, by path.
    """

    changes: int
    generation: int
    published_changes: int
    tag_changes: int
    roots: tuple[Root, ...] = ()

    @property
    def tag_version(self) -> tuple[int, int]:
        """What is hidden, and what labels there are, changes with it alone."""
        return self.tag_changes, self.generation


class Tag(NamedTuple):
    """A label that an image has; `probability` is its softmax among all labels of the collection."""

    name: str
    probability: float
    sensitive: bool


class ImageRecord(NamedTuple):
    path: str
    facts: Facts

    @property
    def max_pixels(self) -> int:
        """The limit for its picture: that of the build which took it in may have been higher."""
        return max(MAX_PIXELS, self.facts.width * self.facts.height)


class StoredRow(NamedTuple):
    """What is known of a hit: its vector, (dim,), its image, and what a text says."""

    vector: StoredVector
    image_id: int
    text: str | None
    path: str
    facts: Facts


class ImageFacts(NamedTuple):
    """What filters ask of an image, for as long as it has its id."""

    id: int
    width: int
    height: int
    taken_at: datetime | None
    latitude: float | None
    longitude: float | None
    format: str
    camera: str | None


class TextRecord(NamedTuple):
    text: str
    image_id: int


class Original(NamedTuple):
    """A row whose content is known: where it is, what it says of itself, its vector."""

    id: int
    path: str
    facts: Facts
    vector: StoredVector


class Choices(NamedTuple):
    """What images may be told apart by: the formats, cameras and tags there are, the sensitive ones left out, and
    whether any has a time, a place or a sensitive tag.
    """

    formats: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    times: bool = False
    places: bool = False
    tags: tuple[str, ...] = ()
    sensitive: bool = False
