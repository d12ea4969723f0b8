"""A collection -> groups of images that are one picture: the same file, edits of it or, where asked, look-alikes."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from search.alignment import align_one
from search.bulk import ImageFile
from search.collection import Collection
from search.compared import COMPARED_FILE, Compared, Pairs, load_compared, save_compared
from search.index import Ids
from search.local_features import Features, mirrored, unpacked
from search.paths import identity_of
from search.types import DUPLICATE_KINDS, DuplicateKind, Root, is_followed
from search.vector_cells import Ask, in_cells

SIMILAR_SCORE = 0.95
"""From which score on neighbours are called similar."""

_NEIGHBOURS = 21
"""Nearest of each image, itself among them. Larger groups hold together through their members."""

_VOTED = 12
_LEAST_VOTES = 1.5
"""Images that share the most keypoints with one, itself among them, are verified, if they seem to share a few."""

_IMAGES_AT_ONCE = 250
_VECTORS_AT_ONCE = 5_000
_MANY = 1_000
"""From so many new images on it is worth making cells of all: fewer are each compared with all."""

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


def find_duplicates(collection: Collection, kind: DuplicateKind, *, stop: threading.Event) -> list[Group]:
    """The groups, by their first ids. Images are compared that no search before has compared.

    Candidates for edits are the images that share keypoints, whatever the model makes of them. An image without local
    features is in a group only by its digest or, where similar ones are asked for, its score. A file that links give
    several names is one image, by the name that is no link. `stop` ends it with what was found so far.
    """
    files = _each_once(list(collection.catalog.bulk.files()), collection.catalog.roots())
    links: dict[tuple[int, int], DuplicateKind] = {}
    of_digest: dict[bytes, int] = {}
    for file in files.values():
        if file.digest and (original := of_digest.setdefault(file.digest, file.id)) != file.id:
            links[original, file.id] = "identical"
    if kind != "identical":
        copies = {copy for _, copy in links}
        originals = np.array([id_ for id_ in files if id_ not in copies], np.int64)
        for found_kind, pairs in _compared(collection, kind, originals, stop).items():
            for first, second in pairs.tolist():
                links.setdefault((first, second), found_kind)
    return _groups(links, files)


def _each_once(files: Sequence[ImageFile], roots: Sequence[Root]) -> dict[int, ImageFile]:
    """By id, without those that are another name of a file that is there under its own, or an earlier one."""
    count = Counter(file.digest for file in files)
    names: dict[tuple[int, int], list[ImageFile]] = {}
    for file in files:
        if not file.digest or count[file.digest] < 2 or not is_followed(file.path, roots):
            continue
        if identity := identity_of(file.path):
            names.setdefault(identity, []).append(file)
    others: set[int] = set()
    for some in names.values():
        own = min(some, key=lambda file: (os.path.realpath(file.path) != file.path, file.id))
        others |= {file.id for file in some if file is not own}
    return {file.id: file for file in files if file.id not in others}


def _compared(
    collection: Collection, kind: DuplicateKind, ids: Ids, stop: threading.Event
) -> dict[DuplicateKind, Pairs]:
    """The pairs of each kind up to `kind` among images of which no two are the same file; what was found is kept."""
    file = collection.directory / COMPARED_FILE
    kept = load_compared(file)
    known = {name: found.among(ids) for name, found in kept.items()}
    known["edited"] = _edited(collection, known.get("edited", Compared.none()), ids, stop)
    if kind == "similar":
        known["similar"] = _similar(collection, known.get("similar", Compared.none()), ids, stop)
    if any(name not in kept or not np.array_equal(kept[name].images, now.images) for name, now in known.items()):
        with suppress(OSError):  # a collection that may only be read is searched all the same, in full each time
            save_compared(file, known)
    kinds: tuple[DuplicateKind, ...] = ("edited",) if kind == "edited" else ("edited", "similar")
    return {name: known[name].pairs for name in kinds}


def _edited(collection: Collection, known: Compared, ids: Ids, stop: threading.Event) -> Compared:
    """`known`, and the pairs of edits of those of the images that were not compared."""
    index, records = collection.keypoints(), collection.catalog.features
    if index is None:
        return known
    new = np.setdiff1d(np.intersect1d(ids, index.image_ids()), known.images)
    members, found, done = set(ids.tolist()), set[tuple[int, int]](), 0
    for start in range(0, len(new), _IMAGES_AT_ONCE):
        if stop.is_set():
            break
        some = new[start : start + _IMAGES_AT_ONCE].tolist()
        sides = {id_: (features, mirrored(features)) for id_, features in _features(records.of(some)).items()}
        votes = dict(zip(sides, index.votes(list(sides.values()), _VOTED, _LEAST_VOTES), strict=True))
        others = _features(records.of(sorted({vote.image_id for one in votes.values() for vote in one} & members)))
        for id_, of_image in votes.items():
            for vote in of_image:
                pair = min(id_, vote.image_id), max(id_, vote.image_id)
                if pair[0] == pair[1] or pair in found or vote.image_id not in others:
                    continue
                if _same(sides[id_], others[vote.image_id], flipped=vote.flipped):
                    found.add(pair)
        done = start + len(some)
    return known.and_also(new[:done], np.array(sorted(found), np.int64))


def _same(sides: tuple[Features, Features], image: Features, *, flipped: bool) -> bool:
    """Whether one of two images is an edit of the other, of which either may be the one that has more keypoints."""
    there = align_one(sides[flipped], image, flipped=flipped)
    if there is not None and there.same:
        return True
    back = align_one(mirrored(image) if flipped else image, sides[0], flipped=flipped)
    return back is not None and back.same


def _features(records: Mapping[int, bytes]) -> dict[int, Features]:
    return {id_: unpacked(record) for id_, record in records.items()}


def _similar(collection: Collection, known: Compared, ids: Ids, stop: threading.Event) -> Compared:
    """`known`, and the pairs with a score of SIMILAR_SCORE or more of those of the images that were not compared."""
    index, dim = collection.index("images"), collection.identity.dim
    wanted = np.setdiff1d(ids, known.images)
    ask: Ask = index.search if len(wanted) < _MANY else in_cells(index, dim)
    found: list[Pairs] = [np.zeros((0, 2), np.int64)]
    done: list[Ids] = [np.zeros(0, np.int64)]
    for start in range(0, len(index), _VECTORS_AT_ONCE):
        if stop.is_set():
            break
        some, vectors = index.contents(start, _VECTORS_AT_ONCE)
        new = np.isin(some, wanted)
        if not new.any():
            continue
        scores, neighbours = ask(vectors[new], _NEIGHBOURS)
        near = (scores >= SIMILAR_SCORE) & np.isin(neighbours, ids) & (neighbours != some[new][:, np.newaxis])
        row, column = np.nonzero(near)
        found.append(np.sort(np.stack([some[new][row], neighbours[row, column]], axis=1), axis=1))
        done.append(some[new])
    return known.and_also(np.concatenate(done), np.concatenate(found))


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
