"""Vectors of the catalog -> a collection in a Milvus server: filled, indexed, loaded, and whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from search.errors import CollectionError
from search.index import Ids, Vectors, checked
from search.index_recall import PROBES, Probes, nearest, recall
from search.milvus_fields import INTEGERS, MOST_BYTES, NUMBERS, TEXTS, values_of
from search.milvus_index import ID, METRIC, PLACE, VECTOR, MilvusIndex
from search.milvus_place import MilvusPlace, MilvusType
from search.milvus_server import patiently
from search.source import Source
from search.types import IndexFacts, Target

if TYPE_CHECKING:
    from pymilvus import MilvusClient

_BATCH_BYTES = 8 << 20
_MOST_ROWS = 5_000
_CELLS_A_ROOT = 4
"""Cells of an IVF index for each root of the number of rows (FAISS's guide to choosing an index)."""

_MOST_CELLS = 65_536
_SHARES = (32, 16, 8, 4)
"""Into which part of the cells is looked: the first with which recall is what was asked for."""


def fill(client: MilvusClient, place: MilvusPlace, name: str, source: Source, target: Target, sample: Sample) -> int:
    """Make a collection of the vectors with what filters ask; returns how many, and makes none of none."""
    count = 0
    rows_at_once = max(1, min(_MOST_ROWS, _BATCH_BYTES // (4 * source.dim)))
    for all_ids, all_rows in source.vectors(target):
        if not count:
            _create(client, place, name, source.dim)
        sample.add(all_ids, checked(all_rows, source.dim))
        for start in range(0, len(all_ids), rows_at_once):
            ids, rows = all_ids[start : start + rows_at_once], all_rows[start : start + rows_at_once]
            facts = source.facts(target, ids)
            entities = [
                {ID: id_, PLACE: place_, VECTOR: row, **values_of(known)}
                for place_, (id_, row, known) in enumerate(zip(ids.tolist(), rows, facts, strict=True), count)
            ]
            patiently(place, partial(client.upsert, name, entities))  # may have arrived although its answer did not
            count += len(ids)
    if count:
        patiently(place, partial(client.flush, name))
    return count


def _create(client: MilvusClient, place: MilvusPlace, name: str, dim: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID, DataType.INT64, is_primary=True)
    for field in (PLACE, *INTEGERS):
        schema.add_field(field, DataType.INT64)
    for field in NUMBERS:
        schema.add_field(field, DataType.DOUBLE)
    for field in TEXTS:
        schema.add_field(field, DataType.VARCHAR, max_length=MOST_BYTES)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dim)
    create = partial(client.create_collection, name, schema=schema)
    patiently(place, partial(create, num_shards=place.shards, consistency_level="Eventually"))


def index(
    client: MilvusClient,
    place: MilvusPlace,
    name: str,
    dim: int,
    count: int,
    min_recall: float,
    probes: Mapping[str, Probes],
) -> IndexFacts:
    """Index and load the collection, as the place says; so that all vectors are compared where recall is too low."""
    measured: dict[str, float] = {}
    if place.type == "IVF_FLAT":
        kind = "milvus IVF_FLAT"
        cells = max(1, min(_MOST_CELLS, count, round(_CELLS_A_ROOT * math.sqrt(count))))
        _load(client, place, name, "IVF_FLAT", count, nlist=cells)
        for share in _SHARES:
            facts = IndexFacts(kind, count, measured, max(1, cells // share))
            made = MilvusIndex(place, name, dim, facts, lists=cells)
            for modality, some in probes.items():
                measured[modality] = recall(nearest(made, some, exact=False), nearest(made, some, exact=True))
            if min(measured.values()) >= min_recall:
                return facts
        client.release_collection(name)
        client.drop_index(name, VECTOR)
    _load(client, place, name, "FLAT", count)
    return IndexFacts("milvus FLAT", count, measured)


def _load(client: MilvusClient, place: MilvusPlace, name: str, type_: MilvusType, count: int, **params: int) -> None:
    """Return when the collection can be searched, whole."""
    index = client.prepare_index_params()
    index.add_index(VECTOR, index_name=VECTOR, index_type=type_, metric_type=METRIC, params=params)
    patiently(place, partial(client.create_index, name, index))
    patiently(place, partial(client.load_collection, name, replica_number=place.replicas))
    count_all = partial(client.query, name, output_fields=["count(*)"], consistency_level="Strong")
    (answer,) = patiently(place, count_all)
    if answer["count(*)"] != count:
        raise CollectionError(
            f"{name} in {place.uri} has {answer['count(*)']:,} of {count:,} vectors: run the same again"
        )


class Sample:
    """Some of the rows that were added, any of them as likely as another, and the same ones every time."""

    def __init__(self, dim: int) -> None:
        self._random = np.random.default_rng(0)
        self._ids, self._rows, self._keys = np.zeros(0, np.int64), np.zeros((0, dim), np.float32), np.zeros(0)

    def add(self, ids: Ids, rows: Vectors) -> None:
        keys = np.concatenate([self._random.random(len(ids)), self._keys])
        first = np.argsort(keys)[:PROBES]
        self._keys = keys[first]
        self._ids, self._rows = np.concatenate([ids, self._ids])[first], np.concatenate([rows, self._rows])[first]

    def sample(self, count: int) -> tuple[Ids, Vectors]:
        return self._ids[:count], self._rows[:count]
