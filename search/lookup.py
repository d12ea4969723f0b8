"""A picture -> what of the collection it may be: copies of its file first, then what looks like it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from search.errors import BadQuery
from search.filters import Filter
from search.image import digest_of
from search.query import IdTerm, ImageTerm, Term, VectorTerm
from search.records import Original
from search.searcher import Searcher
from search.types import Hit

Verdict = Literal["identical", "look-alike"]
"""`identical`: the same bytes, whatever the file is called. `look-alike`: a neighbour of the picture, near or far."""

VERDICTS: tuple[Verdict, ...] = ("identical", "look-alike")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image of the collection that the picture may be."""

    verdict: Verdict
    hit: Hit


def by_image(searcher: Searcher, data: bytes, *, k: int = 10, show_sensitive: bool = False) -> list[Candidate]:
    """At most `k` candidates for the bytes of a file. A file that the collection holds does not reach the model.

    Copies are candidates whatever their tags: who asks has the file already, and may ask because of what it shows.
    Raises BadPicture for bytes that are neither in the collection nor a picture.
    """
    copies = _with_digest(searcher, digest_of(data))
    term = VectorTerm(copies[0].vector.astype(np.float32)) if copies else ImageTerm(data)
    return _candidates(searcher, term, copies, k, show_sensitive)


def by_id(searcher: Searcher, image_id: int, *, k: int = 10, show_sensitive: bool = False) -> list[Candidate]:
    """At most `k` candidates for an image of the collection, without itself."""
    return _candidates(searcher, IdTerm(image_id), _others(searcher, image_id), k, show_sensitive)


def copies(searcher: Searcher, image_id: int) -> list[Hit]:
    """The other images with the same bytes as one of the collection."""
    return [_hit(copy) for copy in _others(searcher, image_id)]


def _others(searcher: Searcher, image_id: int) -> list[Original]:
    digest = searcher.collection.catalog.digest(image_id)
    if digest is None:
        raise BadQuery(f"no image has the id {image_id} in this collection")
    if not digest:
        return []  # imported without its file: nobody knows its bytes
    return [copy for copy in _with_digest(searcher, digest) if copy.id != image_id]


def _with_digest(searcher: Searcher, digest: bytes) -> list[Original]:
    return searcher.collection.catalog.originals([digest]).get(digest, [])


def _candidates(
    searcher: Searcher, term: Term, copies: list[Original], k: int, show_sensitive: bool
) -> list[Candidate]:
    """Copies are candidates even where the live index does not hold them yet."""
    hits = searcher.search([term], k=k, where=Filter(show_sensitive=show_sensitive))
    ids = {copy.id for copy in copies}
    look_alikes = [Candidate("look-alike", hit) for hit in hits if hit.id not in ids]
    return [*(Candidate("identical", _hit(copy)) for copy in copies), *look_alikes][:k]


def _hit(copy: Original) -> Hit:
    """The same bytes have the same vector: its score is 1."""
    return Hit("images", copy.id, 1.0, copy.id, Path(copy.path), copy.facts)
