"""A collection -> groups of images that are one picture: the same file, edits of it or, where asked, look-alikes."""

from __future__ import annotations

import threading
from collections.abc import Collection as Some
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from search.alignment import align
from search.bulk import ImageFile
from search.collection import Collection
from search.feature_records import FeatureRecords
from search.index import VectorIndex
from search.local_features import mirrored, unpacked
from search.types import DUPLICATE_KINDS, DuplicateKind

SIMILAR_SCORE = 0.95
"""From which score on neighbours are called similar."""

_NEIGHBOURS = 21
"""Nearest of each image, itself among them, that are verified. Larger groups hold together through their members."""

_IMAGES_AT_ONCE = 1000
_FORMATS = (
    frozenset({"PNG", "TIFF", "BMP", "DIB", "PPM", "QOI", "TGA", "SGI", "PSD", "SUN", "PCX", "DDS"}),
    frozenset({"WEBP", "AVIF", "HEIF", "JPEG2000"}),
    frozenset({"JPEG", "MPO"}),
)
"""From better to worse: without loss, newer, older; all others, such as GIF, come after."""


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are one picture, the best first; `kind` is the weakest of what holds them together.

    The best has the most pixels; of these the better format, without loss before with; of these the oldest file.
    """

    kind: DuplicateKind
    images: tuple[ImageFile, ...]


class Near(NamedTuple):
    """Two images, the smaller id first, and their score."""

    first: int
    second: int
    score: float


def find_duplicates(collection: Collection, kind: DuplicateKind, *, stop: threading.Event) -> list[Group]:
    """The groups, by their first ids. Candidates are the nearest neighbours of each image in the index.

    An image without local features is in a group only by its digest or, where similar ones are asked for, its score.
    `stop` ends it with what was found so far.
    """
    files = {file.id: file for file in collection.catalog.features.image_files()}
    links: dict[tuple[int, int], DuplicateKind] = {}
    of_digest: dict[bytes, int] = {}
    for file in files.values():
        if file.digest and (original := of_digest.setdefault(file.digest, file.id)) != file.id:
            links[original, file.id] = "identical"
    if kind != "identical":
        for near in _neighbours(collection.index("images"), files, stop):
            edits = _edits(near, collection.catalog.features)
            for pair in near:
                if (pair.first, pair.second) in edits:
                    links.setdefault((pair.first, pair.second), "edited")
                elif kind == "similar" and pair.score >= SIMILAR_SCORE:
                    links.setdefault((pair.first, pair.second), "similar")
    return _groups(links, files)


def _neighbours(index: VectorIndex, files: Mapping[int, ImageFile], stop: threading.Event) -> Iterator[list[Near]]:
    """Pairs of near images that are not the same file, each once, those of some images at a time."""
    seen: set[tuple[int, int]] = set()
    for start in range(0, len(index), _IMAGES_AT_ONCE):
        if stop.is_set():
            return
        ids, vectors = index.contents(start, _IMAGES_AT_ONCE)
        scores, neighbours = index.search(vectors, _NEIGHBOURS)
        some: list[Near] = []
        for row, id_ in enumerate(ids.tolist()):
            for other, score in zip(neighbours[row].tolist(), scores[row].tolist(), strict=True):
                pair = min(id_, other), max(id_, other)
                if pair[0] == pair[1] or pair in seen or not (id_ in files and other in files):
                    continue
                seen.add(pair)
                if not files[id_].digest or files[id_].digest != files[other].digest:
                    some.append(Near(*pair, score))
        yield some


def _edits(near: Some[Near], records: FeatureRecords) -> set[tuple[int, int]]:
    """The pairs in which one image is an edit of the other."""
    stored = records.of(sorted({id_ for pair in near for id_ in pair[:2]}))
    features = {id_: unpacked(record) for id_, record in stored.items()}
    reflected = {id_: mirrored(features[id_]) for id_ in {pair.first for pair in near} & features.keys()}
    found = set()
    for first, second, _ in near:
        if first in features and second in features:
            alignment = align(features[first], reflected[first], features[second])
            if alignment is not None and alignment.same:
                found.add((first, second))
    return found


def _groups(links: Mapping[tuple[int, int], DuplicateKind], files: Mapping[int, ImageFile]) -> list[Group]:
    """What is linked, directly or through others: union-find with path halving."""
    parent = {id_: id_ for pair in links for id_ in pair}

    def root(id_: int) -> int:
        while parent[id_] != id_:
            parent[id_] = parent[parent[id_]]
            id_ = parent[id_]
        return id_

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    members: dict[int, list[ImageFile]] = {}
    for id_ in sorted(parent):
        members.setdefault(root(id_), []).append(files[id_])
    kinds: dict[int, int] = {}
    for (first, _), kind in links.items():
        kinds[root(first)] = max(kinds.get(root(first), 0), DUPLICATE_KINDS.index(kind))
    return [
        Group(DUPLICATE_KINDS[kinds[top]], tuple(sorted(some, key=_worse))) for top, some in sorted(members.items())
    ]


def _worse(file: ImageFile) -> tuple[int, int, int, int]:
    """What sorts the best first."""
    quality = next((rank for rank, formats in enumerate(_FORMATS) if file.format in formats), len(_FORMATS))
    return -file.width * file.height, quality, file.mtime_ns, file.id
