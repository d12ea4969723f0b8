"""A picture -> what of the collection it is: the same file, the same pixels, an edit of it; then what looks like it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.catalog import Catalog
from search.errors import BadQuery
from search.filters import Filter
from search.image import decode_picture, digest_of
from search.query import IdTerm, Term, VectorTerm
from search.records import Original
from search.same_picture import Evidence, QueryPicture, Verified, verify
from search.searcher import Searcher
from search.settings import MAX_K, MAX_PIXELS
from search.types import Hit

Verdict = Literal["identical", "identical-pixels", "edited", "look-alike", "unverified"]
"""`identical`: the same bytes, whatever the file is called. `identical-pixels`: the same picture in another file.
`edited`: cropped, recompressed, turned, framed and so on. `look-alike`: a neighbour, near or far, and another picture.
`unverified`: a neighbour of which nobody can tell, for it has no local features and its file is gone.
"""

VERDICTS: tuple[Verdict, ...] = ("identical", "identical-pixels", "edited", "look-alike", "unverified")

SAME: frozenset[Verdict] = frozenset({"identical", "identical-pixels", "edited"})
"""What says that a picture is in the collection."""

_VERIFIED = 50
"""Neighbours of the whole picture that are verified."""

_VERIFIED_OF_A_PART = 20
_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
_PARTS = ((0, 0, 0.5, 1), (0.5, 0, 1, 1), (0.2, 0.2, 0.8, 0.8))
"""Left, top, right and bottom in fractions: two pictures side by side, and one in a wide frame."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image of the collection that the picture may be. `evidence` is what an edit was told by, else None."""

    verdict: Verdict
    hit: Hit
    evidence: Evidence | None = None

    @property
    def is_same(self) -> bool:
        return self.verdict in SAME

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        evidence = self.evidence and asdict(self.evidence)
        return {"verdict": self.verdict, **self.hit.to_dict(), "evidence": evidence}


def _check(k: int) -> None:
    if not 1 <= k <= MAX_K:
        raise BadQuery(f"k is {k}; it may be from 1 to {MAX_K}")


def by_image(searcher: Searcher, data: bytes, *, k: int = 10, show_sensitive: bool = False) -> list[Candidate]:
    """At most `k` candidates for the bytes of a file. A file that the collection holds does not reach the model.

    Copies are candidates whatever their tags: who asks has the file already, and may ask because of what it shows.
    Raises BadPicture for bytes that are neither in the collection nor a picture.
    """
    _check(k)
    copies = _with_digest(searcher, digest_of(data))
    if copies:
        return _of_known(
            searcher, copies[0].id, VectorTerm(copies[0].vector.astype(np.float32)), copies, k, show_sensitive
        )
    image = decode_picture(data, max_pixels=MAX_PIXELS).image
    lookup = _Lookup(searcher, QueryPicture.of(image), [], show_sensitive)
    lookup.look(_encode(searcher, [image]), max(k, _VERIFIED))
    if not lookup.found:
        lookup.look(_encode(searcher, list(_views(image))), _VERIFIED_OF_A_PART)
    return lookup.candidates()[:k]


def by_id(searcher: Searcher, image_id: int, *, k: int = 10, show_sensitive: bool = False) -> list[Candidate]:
    """At most `k` candidates for an image of the collection, without itself."""
    _check(k)
    return _of_known(searcher, image_id, IdTerm(image_id), _others(searcher, image_id), k, show_sensitive)


def copies(searcher: Searcher, image_id: int) -> list[Hit]:
    """The other images with the same bytes as one of the collection."""
    return [_hit(copy) for copy in _others(searcher, image_id)]


class _Lookup:
    """Gathers candidates of one query, each verified once."""

    def __init__(
        self, searcher: Searcher, query: QueryPicture | None, copies: Sequence[Original], show_sensitive: bool
    ) -> None:
        self._searcher = searcher
        self._query = query
        self._where = Filter(show_sensitive=show_sensitive)
        self._copies = [Candidate("identical", _hit(copy)) for copy in copies]
        self._others: dict[int, Candidate] = {}

    @property
    def found(self) -> bool:
        return any(candidate.is_same for candidate in self._others.values())

    def look(self, terms: Sequence[Term], k: int) -> None:
        """Verify the neighbours of each of the terms."""
        known = {candidate.hit.id for candidate in self._copies}
        for term in terms:
            hits = self._searcher.search([term], k=min(k, MAX_K), where=self._where)
            new = [hit for hit in hits if hit.id not in self._others and hit.id not in known]
            verified = self._verify([hit.id for hit in new])
            self._others.update((hit.id, _candidate(hit, verified.get(hit.id))) for hit in new)

    def candidates(self) -> list[Candidate]:
        """Copies first, even those that the live index does not hold yet; then by verdict; then the nearest."""
        others = sorted(self._others.values(), key=_rank)
        return [*self._copies, *others]

    def _verify(self, ids: Sequence[int]) -> dict[int, Verified | None]:
        catalog: Catalog = self._searcher.collection.catalog
        return verify(self._query, catalog, ids) if self._query else {}


def _of_known(
    searcher: Searcher, image_id: int, term: Term, copies: list[Original], k: int, show_sensitive: bool
) -> list[Candidate]:
    lookup = _Lookup(searcher, QueryPicture.of_image(searcher.collection.catalog, image_id), copies, show_sensitive)
    lookup.look([term], max(k, _VERIFIED))
    return lookup.candidates()[:k]


def _candidate(hit: Hit, verified: Verified | None) -> Candidate:
    if verified is None:
        return Candidate("unverified", hit)
    if verified.evidence is None:
        return Candidate("look-alike", hit)
    return Candidate("identical-pixels" if verified.identical_pixels else "edited", hit, verified.evidence)


def _rank(candidate: Candidate) -> tuple[int, int, float]:
    """Edits with the most evidence first; what is no edit, or cannot be told, by its score."""
    verdict = min(VERDICTS.index(candidate.verdict), VERDICTS.index("look-alike"))
    return verdict, -candidate.evidence.inliers if candidate.evidence else 0, -candidate.hit.score


def _encode(searcher: Searcher, images: list[Image.Image]) -> list[Term]:
    rows: NDArray[np.float32] = searcher.embedder.encoder.encode_images(images)
    return [VectorTerm(row) for row in rows]


def _views(image: Image.Image) -> Iterator[Image.Image]:
    """What an image of the collection may look like in the query, where the whole query is near to none."""
    for turn in _TURNS:
        yield image.transpose(turn)
    width, height = image.size
    for left, top, right, bottom in _PARTS:
        box = (round(left * width), round(top * height), round(right * width), round(bottom * height))
        if box[2] > box[0] and box[3] > box[1]:
            yield image.crop(box)


def _others(searcher: Searcher, image_id: int) -> list[Original]:
    digest = searcher.collection.catalog.digest(image_id)
    if digest is None:
        raise BadQuery(f"no image has the id {image_id} in this collection")
    if not digest:
        return []  # imported without its file: nobody knows its bytes
    return [copy for copy in _with_digest(searcher, digest) if copy.id != image_id]


def _with_digest(searcher: Searcher, digest: bytes) -> list[Original]:
    return searcher.collection.catalog.originals([digest]).get(digest, [])


def _hit(copy: Original) -> Hit:
    """The same bytes have the same vector: its score is 1."""
    return Hit("images", copy.id, 1.0, copy.id, Path(copy.path), copy.facts)
