"""Vectors in a Milvus server: found as NumPy finds them, published whole; and what is told when something is amiss."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from search.changes import Caption, Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import BadQuery, CollectionError
from search.expression import parse_conditions
from search.filters import Filter
from search.index import Ids, Neighbours, Vectors
from search.kinds import Publication
from search.milvus_fields import expression
from search.milvus_place import MilvusPlace
from search.milvus_publication import GRACE_S
from search.query import VectorTerm
from search.searcher import Searcher
from search.settings import PROJECT
from search.types import Facts, IndexPolicy
from search.verify import repair, verify
from tests.colors import ColorEncoder
from tests.servers import Milvus

COUNT, DIM = 7_000, 8
FORMATS = ("JPEG", "PNG", "WEBP", 'ODD "NAME"', "N" * 40)


def unit_rows(count: int, dim: int = DIM, seed: int = 0) -> Vectors:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def facts_of(number: int) -> Facts:
    """Facts of all kinds, each of which some images lack."""
    return Facts(
        width=(0, 640, 1024, 480)[number % 4],
        height=(0, 480, 1024, 640, 0)[number % 5],
        format=FORMATS[number % len(FORMATS)],
        taken_at=datetime(2020, 1, 1) + timedelta(hours=number) if number % 3 else None,
        camera="Example X100" if number % 7 == 0 else None,
        latitude=-90 + number % 181 if number % 2 else None,
        longitude=-180.0 + number % 360 if number % 2 else None,
    )


def fill(collection: Collection, rows: Vectors, *, captions: int = 0, first: int = 0) -> None:
    """Images of the rows with the numbers from `first` on; those below `captions` have a caption."""
    added = [
        NewImage(
            FileStamp(f"/photos/{number % 3}/{number}.jpg", 1, 1),
            number.to_bytes(32, "big"),
            facts_of(number),
            row,
            [Caption(f"caption {number}", row)] if number < captions else [],
        )
        for number, row in enumerate(rows, first)
    ]
    with collection.writing():
        collection.catalog.apply(Changes(added=added))


def made(directory: Path, rows: Vectors, url: str, *, captions: int = 0, min_recall: float = 0.99) -> Collection:
    identity = dataclasses.replace(ColorEncoder().identity, dim=rows.shape[1])
    collection = Collection.create(directory, identity)
    fill(collection, rows, captions=captions)
    publish(collection, url, min_recall)
    return collection


def publish(collection: Collection, url: str | None = None, min_recall: float = 0.99) -> None:
    with collection.writing():
        collection.publish(IndexPolicy(url, min_recall) if url else None)


@pytest.fixture(scope="module")
def rows() -> Vectors:
    return unit_rows(COUNT)


@pytest.fixture(scope="module")
def filled(milvus: Milvus, rows: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Many images and no text; nobody writes to it."""
    with closing(made(tmp_path_factory.mktemp("filled"), rows, milvus.new_index())) as collection:
        yield collection


@pytest.fixture(scope="module")
def small(milvus: Milvus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Some images, which stay; it may be published again."""
    with closing(made(tmp_path_factory.mktemp("small"), unit_rows(30), milvus.new_index())) as collection:
        yield collection


def nearest(rows: Vectors, queries: Vectors, k: int, among: Ids | None = None) -> Neighbours:
    """What NumPy finds; ids are those of a catalog, from 1 on."""
    ids = np.arange(1, len(rows) + 1) if among is None else among
    scores = queries @ rows[ids - 1].T
    best = np.argsort(-scores, axis=1)[:, :k]
    return Neighbours(np.take_along_axis(scores, best, 1), ids[best])


def same(found: Neighbours, true: Neighbours) -> bool:
    """Scores that differ by their rounding alone may change places."""
    if not true.ids.size:
        return bool((found.ids == -1).all())
    ids = (np.sort(side.ids, axis=1) for side in (found, true))
    return np.array_equal(*ids) and np.allclose(found.scores, true.scores, atol=1e-6)


def names_in(milvus: Milvus, url: str) -> list[str]:
    """The collections of an index."""
    name = MilvusPlace.read(url).name
    return sorted(one for one in milvus.client().list_collections() if one.startswith(f"{name}_"))


def test_what_it_finds_is_what_numpy_finds(filled: Collection, rows: Vectors) -> None:
    index, queries = filled.index("images"), unit_rows(600, seed=1)
    assert (index.kind, len(index)) == ("milvus FLAT", COUNT)
    assert same(index.search(queries, 10), nearest(rows, queries, 10))
    assert same(index.search(queries[:2], 3_000, exact=True), nearest(rows, queries[:2], 3_000))
    assert same(index.search(queries[:1], 16_384), nearest(rows, queries[:1], COUNT))


def test_among_some_ids_none_is_missed(filled: Collection, rows: Vectors) -> None:
    index, queries, random = filled.index("images"), unit_rows(3, seed=2), np.random.default_rng(3)
    for count in (1, 7, 4_999, 5_001, 6_990):
        among = np.sort(random.permutation(COUNT)[:count] + 1)
        assert same(index.search(queries, 10, among), nearest(rows, queries, 10, among))
        assert same(index.search(queries, COUNT, among), nearest(rows, queries, COUNT, among))
    beyond = np.array([3, COUNT + 5, COUNT + 9])  # written since
    assert index.search(queries[:1], 2, beyond).ids.tolist() == [[3, -1]]
    assert (index.search(queries, 2, np.zeros(0, np.int64)).ids == -1).all()


@pytest.mark.parametrize(
    "written",
    [
        "taken>=2020-06",
        "taken<2020-03-05",
        "taken:2020-04",
        "-taken<=2020-02",
        "taken>2020-02 -format:webp",
        "format:jpg",
        '-format:"odd \\"name\\""',
        f"-format:{'n' * 40}",
        f"format:{'n' * 33}",
        "orientation:portrait",
        "-orientation:square",
        "width>=640 height<1000",
        "-side<481",
        "side:480",
        "place:yes",
        "place:no",
        "near:48.2,16.37,3000km",
        "-near:48.2,16.37,3000km",
        "camera:x100",
        "-camera:x100",
        "folder:/photos/1",
        "-folder:/photos/1 -format:jpg",
    ],
)
def test_a_filter_gives_the_nearest_of_the_images_that_sql_finds(
    filled: Collection, rows: Vectors, milvus: Milvus, written: str
) -> None:
    queries, where = unit_rows(2, seed=4), Filter.parse(written)
    among = filled.catalog.matching(where, "images")
    index = filled.index("images")
    assert same(index.search(queries, 10, among, where=where.conditions), nearest(rows, queries, 10, among))
    (name,) = filled.published().names.values()
    if condition := expression(where.conditions):
        held = milvus.client().query(name, filter=condition, output_fields=["id"], consistency_level="Strong")
        ids = np.sort([row["id"] for row in held])
        assert np.isin(among, ids).all()
        assert ("near" in written) == (len(ids) > len(among)) or written.startswith("-folder")


def test_only_what_an_image_keeps_is_asked_of_milvus() -> None:
    assert expression(parse_conditions("tag:dog folder:a camera:x -near:1,2,3km")) == ""
    assert expression(parse_conditions('format:"a\\" or id > 0 or \\"" width>=5')) == "(width > 0 and width >= 5)"


def test_contents_are_those_of_the_catalog(filled: Collection, rows: Vectors) -> None:
    ids, held = filled.index("images").contents(2_000, 2_100)
    assert np.array_equal(ids, np.arange(2_001, 4_101))
    assert np.array_equal(held, rows[2_000:4_100])
    assert len(filled.index("images").contents(COUNT - 1, 10)[0]) == 1
    assert len(filled.index("images").contents(COUNT, 10)[0]) == 0
    some = filled.index("images").some_ids(80)
    assert 60 < len(some) <= 80
    assert np.array_equal(some, np.intersect1d(some, np.arange(1, COUNT + 1)))
    assert verify(filled).clean


def test_more_neighbours_than_milvus_gives_are_refused(filled: Collection) -> None:
    index = filled.index("images")
    index._count = 20_000  # type: ignore[attr-defined]
    try:
        with pytest.raises(BadQuery, match=r"up to 16,384 neighbours, not 17,000: narrow the search by a filter"):
            index.search(unit_rows(1), 17_000)
    finally:
        index._count = COUNT  # type: ignore[attr-defined]


def test_another_process_finds_the_same(filled: Collection, rows: Vectors) -> None:
    program = (
        "import sys; from pathlib import Path; import numpy as np; from search.collection import Collection\n"
        "index = Collection.open(Path(sys.argv[1])).index('images')\n"
        "print(index.search(index.contents(4, 1)[1], 5).ids[0].tolist())\n"
    )
    words = [sys.executable, "-c", program, str(filled.directory)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(nearest(rows, rows[4:5], 5).ids[0].tolist())
    assert done.stderr == ""


def test_a_publication_takes_the_place_of_the_last_one_which_goes_when_nobody_searches_it(
    milvus: Milvus, tmp_path: Path
) -> None:
    url, rows = milvus.new_index(), unit_rows(40)
    with closing(made(tmp_path / "it", rows[:30], url)) as collection:
        searcher = Searcher(collection, ColorEncoder)
        held = collection.index("images")
        with collection.writing():
            collection.catalog.apply(Changes(removed=[3]))
        query = [VectorTerm(rows[2])]
        hits = searcher.search(query, k=40)
        assert len(hits) == 29
        assert 3 not in {hit.id for hit in hits}  # at once

        fill(collection, rows[30:], first=30)
        before = names_in(milvus, url)
        publish(collection)
        second = [name for name in names_in(milvus, url) if name not in before]
        assert len(before) == len(second) == 1
        assert sorted(collection.published().names.values()) == second
        alias = milvus.client().describe_alias(f"{MilvusPlace.read(url).name}_images")
        assert alias["collection_name"] == collection.published().names["images"]
        assert len(searcher.search(query, k=60)) == 39
        assert len(held.search(rows[:1], 60).ids[0]) == 30  # who began before goes on

        end_grace(collection)
        publish(collection)
        third = sorted(collection.published().names.values())
        assert names_in(milvus, url) == sorted([*second, *third])
        assert verify(collection).clean
        with pytest.raises(CollectionError, match=r"is gone from the Milvus server .* ask again; else python -m"):
            held.search(rows[:1], 5)


def end_grace(collection: Collection) -> None:
    """As if so much time had passed since the last publication."""
    state, known = collection.catalog.state(), collection.published()
    older = [dataclasses.replace(one, ended=(one.ended or 0) - GRACE_S) for one in known.superseded]
    changed = dataclasses.replace(known, superseded=older)
    collection.catalog.publish(state.generation, state.published_changes, changed.to_dict())


def test_what_an_interrupted_publication_left_goes_with_the_next(milvus: Milvus, small: Collection) -> None:
    from pymilvus import DataType

    url = small.published().policy.kind
    name = MilvusPlace.read(url).name
    left, other = f"{name}_images_00000002_0123abcd", f"{name}_images_of_somebody"
    schema = milvus.client().create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    for one in (left, other):
        milvus.client().create_collection(one, schema=schema)
    publish(small)
    assert left not in names_in(milvus, url)
    assert other in names_in(milvus, url)


def test_the_index_of_another_collection_is_left_alone(milvus: Milvus, small: Collection, tmp_path: Path) -> None:
    url, before = small.published().policy.kind, names_in(milvus, small.published().policy.kind)
    with pytest.raises(
        CollectionError, match=r"is another collection's index .*; give --index another name"
    ) as refused:
        made(tmp_path / "other", unit_rows(20), url)
    assert "\n" not in str(refused.value)
    assert names_in(milvus, url) == before
    with closing(Collection.open(tmp_path / "other")) as other:
        assert len(other.index("images")) == 0
        publish(other, "auto")
        assert len(other.index("images")) == 20


def test_an_index_that_is_gone_is_found_and_made_again(milvus: Milvus, small: Collection) -> None:
    for name in small.published().names.values():
        client = milvus.client()
        for alias in client.describe_collection(name)["aliases"]:
            client.drop_alias(alias)
        client.drop_collection(name)
    findings = verify(small)
    assert any("lost its index" in problem for problem in findings.indexes)
    with small.writing():
        repair(small, findings)
    assert verify(small).clean
    assert small.index("images").kind == "milvus FLAT"


def test_an_index_moves_into_a_server_and_back(milvus: Milvus, tmp_path: Path) -> None:
    url, rows = milvus.new_index("?shards=2"), unit_rows(25)
    with closing(made(tmp_path / "it", rows, "auto")) as collection:
        kinds = []
        for kind in (url, "auto", None):
            publish(collection, kind)
            end_grace(collection)
            kinds.append(collection.index("images").kind)
            assert same(collection.index("images").search(rows[:3], 5), nearest(rows, rows[:3], 5)) or kind != url
            assert len(list(collection.directory.glob("images-*.faiss"))) == (kind != url)
        assert kinds == ["milvus FLAT", "exact", "exact"]
        assert names_in(milvus, url) == []
        assert collection.published().superseded == []


def test_cells_are_looked_into_until_recall_is_as_asked(milvus: Milvus, tmp_path: Path, rows: Vectors) -> None:
    collection = made(tmp_path / "cells", rows[:3_000], milvus.new_index("?type=ivf_flat"))
    with closing(collection):
        index, facts = collection.index("images"), collection.published().facts["images"]
        assert facts.kind == "milvus IVF_FLAT"
        assert facts.recall["image"] >= 0.99
        assert 0 < facts.candidates <= 219 // 4
        queries, among = unit_rows(5, seed=5), np.arange(1, 3_001, 2)
        assert same(index.search(queries, 20, exact=True), nearest(rows[:3_000], queries, 20))
        assert same(index.search(queries, 20, among), nearest(rows[:3_000], queries, 20, among))


@pytest.mark.servers
def test_where_cells_miss_too_much_every_vector_is_compared(milvus: Milvus, tmp_path: Path, rows: Vectors) -> None:
    url = milvus.new_index("?type=ivf_flat")
    with closing(made(tmp_path / "cells", rows[:3_000], url, captions=3, min_recall=1.1)) as collection:
        assert {facts.kind for facts in collection.published().facts.values()} == {"milvus FLAT"}
        assert 0.9 < collection.published().facts["images"].recall["image"] <= 1
        index = collection.index("images")
        assert index.kind == "milvus FLAT"
        assert same(index.search(rows[:5], 20), nearest(rows[:3_000], rows[:5], 20))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("milvus+http://localhost/photos", "write milvus\\+http://host:19530/name"),
        ("milvus+http://localhost:19530", "with a name of letters, digits and _"),
        ("milvus+http://localhost:19530/a-b", "with a name of letters"),
        ("milvus+http://localhost:port/a", "is not the URL of an index"),
        ("milvus+ftp://localhost:19530/a", "is not the URL of an index"),
        ("milvus+http://me:secret@localhost:19530/a", "would be stored with the collection"),
        ("milvus+http://localhost:19530/a?type=HNSW", "type=HNSW is not one of FLAT, IVF_FLAT"),
        ("milvus+http://localhost:19530/a?shards=0", "shards=0 may be from 1 to 16"),
        ("milvus+http://localhost:19530/a?nprobe=7", "has an unknown option 'nprobe'"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_wrong_with_it(url: str, problem: str) -> None:
    with pytest.raises(CollectionError, match=problem) as refused:
        MilvusPlace.read(url)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pymilvus")
    monkeypatch.setattr("search.milvus_server.PATIENCE_S", 0)
    with pytest.raises(CollectionError, match=r"^the Milvus server at http://127.0.0.1:9 is out of reach: .*$"):
        made(tmp_path / "it", unit_rows(3), "milvus+http://127.0.0.1:9/name")


def test_a_missing_extra_is_named_with_the_command() -> None:
    program = (
        "import sys; sys.modules['pymilvus'] = None\n"
        "from search.milvus_place import MilvusPlace; from search.milvus_server import connect\n"
        "connect(MilvusPlace.read('milvus+http://127.0.0.1:9/name'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True)
    assert "pip install 'text-image-search[milvus]'" in done.stderr.splitlines()[-1]


def test_what_the_catalog_notes_of_an_index_is_read_as_it_was_written(small: Collection) -> None:
    known = small.published()
    assert Publication.from_dict(known.to_dict()) == known
