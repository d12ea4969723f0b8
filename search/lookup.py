"""A picture -> what of the collection it is: the same file, the same pixels, an edit of it; then what looks like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from search.errors import BadQuery
from search.filters import Filter
from search.hits import hit_of
from search.image import decode_picture, digest_of
from search.keypoint_index import Vote
from search.query import IdTerm, ImageTerm, Term, VectorTerm
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

_VOTED = 20
_LEAST_VOTES = 1.5
"""Images with the most keypoints of the query are verified, if they seem to have a few."""

_NEAREST = 10
"""Nearest neighbours that are verified, at least: some may have no keypoints in the index yet."""


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
        query = QueryPicture.of_image(searcher.collection.catalog, copies[0].id)
        term = VectorTerm(copies[0].vector)
        return _candidates(searcher, query, term, copies, k, show_sensitive=show_sensitive)
    query = QueryPicture.of(decode_picture(data, max_pixels=MAX_PIXELS).image)
    return _candidates(searcher, query, ImageTerm(data), [], k, show_sensitive=show_sensitive)


def by_id(searcher: Searcher, image_id: int, *, k: int = 10, show_sensitive: bool = False) -> list[Candidate]:
    """At most `k` candidates for an image of the collection, without itself."""
    _check(k)
    query = QueryPicture.of_image(searcher.collection.catalog, image_id)
    copies = _others(searcher, image_id)
    return _candidates(searcher, query, IdTerm(image_id), copies, k, show_sensitive=show_sensitive)


def copies(searcher: Searcher, image_id: int) -> list[Hit]:
    """The other images with the same bytes as one of the collection."""
    return [_hit(copy) for copy in _others(searcher, image_id)]


def _candidates(
    searcher: Searcher,
    query: QueryPicture | None,
    term: Term,
    copies: Sequence[Original],
    k: int,
    *,
    show_sensitive: bool,
) -> list[Candidate]:
    """Copies first, even those that the live index does not hold yet; then by verdict; then the nearest."""
    hits = searcher.search([term], k=max(k, _NEAREST), where=Filter(show_sensitive=show_sensitive))
    votes = {vote.image_id: vote for vote in _votes(searcher, query)}
    without = {copy.id for copy in copies} | {hit.id for hit in hits}
    if isinstance(term, IdTerm):
        without.add(term.id)
    if not show_sensitive:
        without |= searcher.collection.catalog.tags.hidden("images")
    hits += _hits(searcher, term, [id_ for id_ in votes if id_ not in without])
    others = {hit.id: hit for hit in hits if hit.id not in {copy.id for copy in copies}}
    sides = {id_: vote.flipped for id_, vote in votes.items()}
    verified = verify(query, searcher.collection.catalog, list(others), sides) if query else {}
    judged = [_candidate(hit, verified.get(id_)) for id_, hit in others.items()]
    return [*(Candidate("identical", _hit(copy)) for copy in copies), *sorted(judged, key=_rank)][:k]


def _votes(searcher: Searcher, query: QueryPicture | None) -> list[Vote]:
    index = searcher.collection.keypoints()
    if query is None or index is None:
        return []
    return index.votes([(query.features, query.reflected)], _VOTED, _LEAST_VOTES)[0]


def _hits(searcher: Searcher, term: Term, image_ids: Sequence[int]) -> list[Hit]:
    """Those of the images that still have a row."""
    vector, catalog = searcher.embedder.embed(term), searcher.collection.catalog
    rows = catalog.rows("images", image_ids)
    return [hit_of("images", id_, float(row.vector @ vector), row) for id_, row in rows.items()]


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
    return Hit("images", copy.id, 1.0, copy.id, copy.path, copy.facts)
