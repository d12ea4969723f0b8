"""Which kind of index is published: by size, and by the recall that is measured on the vectors themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import faiss

from search.errors import CollectionError
from search.exact_index import ExactIndex, inside
from search.index import REPAIR, VectorIndex
from search.index_file import read
from search.index_recall import K, Probes, nearest, recall
from search.scan_index import CANDIDATES, CANDIDATES_A_HIT, EXACT_SHARE, ScanIndex, train_codes
from search.seals import Seal
from search.types import IndexFacts, IndexPolicy, Target

SCAN_FROM = 50_000
"""As many vectors are compared in a few milliseconds; from here on codes are worth their making."""

LEAST_SCAN = EXACT_SHARE * (CANDIDATES + K * CANDIDATES_A_HIT)
"""With fewer, a scan would compare all of them anyway."""

_CANDIDATES = (CANDIDATES, 2 * CANDIDATES, 4 * CANDIDATES, 8 * CANDIDATES)
_TRAINING_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Served:
    """The `names` of collections in a Milvus server, which make up the index at `url`; `ended` is when (Unix time)
    another one took its place.
    """

    url: str
    names: dict[Target, str] = field(default_factory=dict)
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """What the indexes of one generation were asked to be, what they are, and the seals of their files.

    `served` are those in a Milvus server, `superseded` what servers still have of the generations before.
    """

    policy: IndexPolicy = field(default_factory=IndexPolicy)
    facts: dict[Target, IndexFacts] = field(default_factory=dict)
    seals: dict[str, Seal] = field(default_factory=dict)
    """By target, that of the local features under `keypoints`, and those of the columns of facts (index_place.py)."""
    served: Served | None = None
    superseded: list[Served] = field(default_factory=list)

    @property
    def names(self) -> dict[Target, str]:
        """The collections of `served`."""
        return self.served.names if self.served else {}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, known: dict[str, Any] | None) -> Self:
        """What `to_dict` gave; of None, as before the first publication, nothing is known."""
        if known is None:
            return cls()
        try:
            facts = {target: IndexFacts(**one) for target, one in known["facts"].items()}
            seals = {target: Seal(**one) for target, one in known.get("seals", {}).items()}
            served = Served(**known["served"]) if known.get("served") else None
            superseded = [Served(**one) for one in known.get("superseded", ())]
            return cls(IndexPolicy(**known["policy"]), facts, seals, served, superseded)
        except (LookupError, TypeError, AttributeError) as error:
            raise CollectionError(f"what the catalog knows of its indexes is damaged: {REPAIR}") from error


def open_index(file: Path, seal: Seal | None) -> ExactIndex:
    """Map the file, of whatever kind; pages are read when a search needs them.

    Nothing of it is read but what its seal finds in order. Older releases left none. Raises FileNotFoundError where
    there is no file and CollectionError for a damaged or another one.
    """
    index = read(file, seal)
    if not isinstance(index, faiss.IndexIDMap):
        raise CollectionError(f"{file} holds an index of another kind: {REPAIR}")
    return ScanIndex(index) if isinstance(inside(index)[0], faiss.IndexRefine) else ExactIndex(index)


def choose(
    exact: ExactIndex, policy: IndexPolicy, probes: Mapping[str, Probes], last: VectorIndex | None
) -> tuple[ExactIndex, IndexFacts]:
    """The index to publish for the vectors of `exact`, and what is known of it.

    A scan is measured with the `probes`. The codes of the `last` index serve on, with as many candidates if need be,
    until recall with them falls short of the policy's: the vectors have drifted. Codes trained anew are given more
    candidates until they reach it, and where that does not help either, the index stays exact.
    """
    count = len(exact)
    if policy.kind == "exact" or count < (LEAST_SCAN if policy.kind == "scan" else SCAN_FROM):
        return exact, IndexFacts("exact", count)
    true = {modality: nearest(exact, some, exact=True) for modality, some in probes.items()}
    measured: dict[str, float] = {}
    for index in _scans(exact, last):
        measured = {what: recall(nearest(index, some, exact=False), true[what]) for what, some in probes.items()}
        if min(measured.values()) >= policy.min_recall:
            return index, IndexFacts("scan", count, measured, index.candidates)
    return exact, IndexFacts("exact", count, measured)


def _scans(exact: ExactIndex, last: VectorIndex | None) -> Iterator[ScanIndex]:
    """Scans of the same rows to try, the cheapest first."""
    if isinstance(last, ScanIndex):
        index = ScanIndex.over(exact, last.codes())
        for index.candidates in sorted({CANDIDATES, last.candidates}):
            yield index
    index = ScanIndex.over(exact, train_codes(exact.sample(_TRAINING_ROWS)[1]))
    for index.candidates in _CANDIDATES:
        yield index
