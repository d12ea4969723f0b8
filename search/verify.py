"""A collection -> what is wrong with it: rows, vectors, indexes, files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from search.changes import STORED, Changes
from search.collection import Collection
from search.errors import CollectionError
from search.exact_index import ExactIndex
from search.exports import Exports
from search.fact_columns import FactColumns
from search.index import unit_rows
from search.paths import exists
from search.types import TARGETS, IndexPolicy, Target, is_followed


@dataclass(slots=True)
class Findings:
    """What `verify` found. All empty is clean.

    `catalog` and `indexes` are sentences; `bad_vectors` are the ids of images that have, or whose captions have, a
    vector that is damaged or no unit vector, `bad_features` those whose local features are damaged; `missing_files` are
    paths of rows in followed folders; imported rows need no file. `exports` speaks of the towers of the collection's
    model that are kept in the cache.
    """

    catalog: list[str] = field(default_factory=list)
    bad_vectors: list[int] = field(default_factory=list)
    bad_features: list[int] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    missing_files: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not any(asdict(self).values())

    def to_dict(self) -> dict[str, Any]:
        return {"clean": self.clean, **asdict(self)}


def verify(collection: Collection, cache: Path | None = None) -> Findings:
    """Read every row, vector and index of the collection, and ask for every file of the followed folders.

    Of the `cache` the towers of the collection's model are read.
    """
    findings = Findings(catalog=collection.catalog.damage())
    findings.exports = Exports.of(cache, collection.identity).damage() if cache else []
    if findings.catalog:
        return findings  # what else it says cannot be believed
    collection.reopen()
    findings.bad_vectors = sorted({image for target in TARGETS for image in _bad_vectors(collection, target)})
    findings.bad_features = collection.catalog.features.damaged()
    findings.indexes = [problem for target in TARGETS for problem in _index_problems(collection, target)]
    findings.indexes += _keypoint_problems(collection)
    findings.indexes += _damage(collection.published) + _damage(collection.background)
    roots = collection.catalog.roots()
    followed = (path for path in collection.catalog.paths() if is_followed(path, roots))
    findings.missing_files = [path for path in followed if not exists(path)]
    return findings


def repair(collection: Collection, findings: Findings, cache: Path | None = None) -> None:
    """Mend what can be made again: rows with a bad vector go, to be embedded by the next build, and so do bad local
    features; indexes are rebuilt.

    Damaged towers go from the `cache`, to be exported again. The caller holds `collection.writing()`.
    """
    if cache:
        Exports.of(cache, collection.identity).damage(forget=True)
    if findings.bad_vectors:
        collection.catalog.apply(Changes(removed=findings.bad_vectors))
    if findings.bad_features:
        collection.catalog.features.remove(findings.bad_features)
    if findings.indexes or findings.bad_vectors or findings.bad_features:
        if _damage(collection.background):
            collection.forget_background()
        collection.publish(IndexPolicy() if _damage(collection.published) else None)


def _bad_vectors(collection: Collection, target: Target) -> Iterator[int]:
    """The images whose vectors, or whose captions' vectors, are damaged or no (dim,) unit rows."""
    dim = collection.identity.dim
    for ids, stored, checksums in collection.catalog.bulk.vectors(target):
        known = zip(stored, checksums, strict=True)
        whole = np.array([len(row) == STORED.itemsize * dim and zlib.crc32(row) == checksum for row, checksum in known])
        rows = np.frombuffer(b"".join(compress(stored, whole)), STORED).reshape(-1, dim)
        good = np.zeros(len(ids), bool)
        good[whole] = unit_rows(rows)
        bad = [int(row) for row in ids[~good]]
        yield from bad if target == "images" else (text.image_id for text in collection.catalog.texts(bad).values())


def _damage(read: Callable[[], object]) -> list[str]:
    try:
        read()
    except CollectionError as error:
        return [str(error)]
    return []


def _keypoint_problems(collection: Collection) -> list[str]:
    """Only ids are compared: what the index holds of a descriptor is a code."""
    if damage := _damage(collection.keypoints):
        return damage
    index, kept = collection.keypoints(), collection.catalog.features.ids()
    held = index.image_ids() if index else kept[:0]
    return [] if np.array_equal(held, kept) else ["the index of local features does not hold those of the catalog"]


def _index_problems(collection: Collection, target: Target) -> Iterator[str]:
    try:
        index = collection.index(target)
    except CollectionError as error:
        yield str(error)
        return
    start = 0
    for ids, stored, _ in collection.catalog.bulk.vectors(target):
        held_ids, held = index.contents(start, len(ids))
        rows = np.frombuffer(b"".join(stored), STORED)
        if not np.array_equal(ids, held_ids):
            yield f"the {target} index does not hold the ids of the catalog from row {start} on"
            return
        if rows.size == held.size and not np.array_equal(index.rounded(rows.reshape(held.shape)), held):
            yield f"the {target} index holds other vectors than the catalog between rows {start} and {start + len(ids)}"
        start += len(ids)
    if len(index) > start:
        yield f"the {target} index holds {len(index) - start} vectors that the catalog does not"
    facts = index.facts if isinstance(index, ExactIndex) else None
    if facts and not facts.same(FactColumns.of(collection.catalog.bulk.facts(target))):
        yield "filters compare other facts than those of the catalog"
