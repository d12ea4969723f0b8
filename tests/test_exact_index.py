"""The index against NumPy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest

from search.errors import CollectionError
from search.exact_index import ExactIndex
from search.index_threads import ROWS_A_THREAD
from search.kinds import open_index


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return unit(np.random.default_rng(1).normal(size=(500, 32)))


@pytest.fixture
def index(rows: np.ndarray) -> ExactIndex:
    ids = np.arange(500) * 3 + 7
    return ExactIndex.build(32, [(ids[:200], rows[:200]), (ids[200:], rows[200:])])


@pytest.fixture
def held(index: ExactIndex) -> np.ndarray:
    """The rows as the index holds them."""
    return index.contents(0, 500)[1]


def test_neighbours_are_those_of_brute_force(index: ExactIndex, held: np.ndarray) -> None:
    queries = unit(np.random.default_rng(2).normal(size=(20, 32)))
    found = index.search(queries, 10)
    scores = queries @ held.T
    expected = np.argsort(-scores, axis=1)[:, :10]
    assert np.array_equal(found.ids, expected * 3 + 7)
    assert found.scores == pytest.approx(np.take_along_axis(scores, expected, 1), abs=1e-5)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    yield
    faiss.omp_set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_a_query_that_several_threads_scan_finds_what_one_would(rows: np.ndarray) -> None:
    many = unit(np.random.default_rng(3).normal(size=(3 * ROWS_A_THREAD + 5, 8)))
    ids = np.arange(len(many)) * 2 + 1
    index = ExactIndex.build(8, [(ids, many)])
    held = index.contents(0, len(many))[1]
    some = ids[many[:, 0] > 0.5]
    for k in (1, 10, 300):
        for among, places in ((None, np.arange(len(many))), (some, np.flatnonzero(many[:, 0] > 0.5))):
            scores = held[places] @ many[17]
            best = np.argsort(-scores, kind="stable")[:k]
            found = index.search(many[17:18], k, among)
            assert found.scores[0] == pytest.approx(scores[best], abs=1e-5)
            assert len(set(found.ids[0].tolist()) ^ set(ids[places[best]].tolist())) <= 2  # equal scores at the end


def test_a_saved_index_is_mapped_and_answers_the_same(index: ExactIndex, rows: np.ndarray, tmp_path: Path) -> None:
    seal = index.save(tmp_path / "images.faiss")
    mapped = open_index(tmp_path / "images.faiss", seal)
    assert len(mapped) == 500
    assert np.array_equal(mapped.search(rows[:5], 3).ids, index.search(rows[:5], 3).ids)
    assert [file.name for file in tmp_path.iterdir()] == ["images.faiss"]


def test_contents_are_what_was_put_in_rounded(index: ExactIndex, rows: np.ndarray) -> None:
    ids, vectors = index.contents(195, 10)
    assert ids.tolist() == [number * 3 + 7 for number in range(195, 205)]
    assert np.array_equal(vectors, index.rounded(rows[195:205]))
    assert len(index.contents(495, 100)[0]) == 5
    assert len(index.contents(600, 10)[0]) == 0


def test_some_ids_come_from_everywhere_and_are_always_the_same(index: ExactIndex) -> None:
    some = index.some_ids(50)
    assert 30 < len(some) <= 50
    assert np.array_equal(some, np.intersect1d(some, index.ids))
    assert some[0] < 200
    assert some[-1] > 1_200
    assert np.array_equal(some, index.some_ids(50))
    assert len(ExactIndex.build(32, ()).some_ids(50)) == 0


def test_what_rows_have_in_common_is_not_rounded() -> None:
    """The rows lie as far from a mean of their own as float16 steps there are wide."""
    generator = np.random.default_rng(4)
    rows = unit(np.eye(1, 64) + 1e-4 * generator.normal(size=(300, 64)))
    index = ExactIndex.build(64, [(np.arange(300), rows)])
    assert np.abs(index.contents(0, 300)[1] - rows).max() < 2e-7
    exact = np.argsort(-(rows.astype(np.float64) @ rows[7].astype(np.float64)))
    assert index.search(rows[7:8], 5).ids[0].tolist() == exact[:5].tolist()


def test_an_index_of_an_older_release_is_read(rows: np.ndarray, tmp_path: Path) -> None:
    """It was not centred."""
    old = faiss.IndexIDMap(faiss.IndexScalarQuantizer(32, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT))
    old.add_with_ids(rows, np.arange(500))
    faiss.write_index(old, str(tmp_path / "images.faiss"))
    index = open_index(tmp_path / "images.faiss", None)
    halves = index.contents(0, 500)[1]
    assert np.array_equal(halves, index.rounded(rows))
    assert np.abs(halves - rows).max() < 2.5e-4
    assert index.search(rows[:9], 1).ids[:, 0].tolist() == list(range(9))
    assert index.search(rows[:1], 1).scores == pytest.approx(halves[:1] @ rows[:1].T, abs=1e-5)


def test_an_index_lies_in_a_directory_of_any_name(index: ExactIndex, rows: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"not-utf-8-\xff")
    folder.mkdir()
    seal = index.save(folder / "images.faiss")
    opened = open_index(folder / "images.faiss", seal)
    assert os.fsencode(folder) in Path("/proc/self/maps").read_bytes()
    assert np.array_equal(opened.search(rows[:9], 3).ids, index.search(rows[:9], 3).ids)
    with pytest.raises(FileNotFoundError):
        open_index(folder / "texts.faiss", None)


def test_an_empty_index_has_no_neighbours(rows: np.ndarray) -> None:
    assert (ExactIndex.build(32, ()).search(rows[:1], 5).ids == -1).all()


def test_rows_of_another_length_or_shape_are_refused(index: ExactIndex, rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="1 of 2 vectors are not of unit length"):
        ExactIndex.build(32, [(np.arange(2), np.stack([rows[0], 2 * rows[1]]))])
    with pytest.raises(ValueError, match="ascend"):
        ExactIndex.build(32, [(np.array([1, 3, 2]), rows[:3])])
    with pytest.raises(ValueError, match="1 of 1"):
        index.search(np.full((1, 32), np.nan, np.float32), 1)
    with pytest.raises(ValueError, match=r"\(1, 16\).*\(n, 32\)"):
        index.search(rows[:1, :16], 1)


def test_a_damaged_file_is_refused_with_the_way_to_repair_it(index: ExactIndex, tmp_path: Path) -> None:
    file = tmp_path / "images.faiss"
    index.save(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CollectionError, match="verify --repair"):
        open_index(file, None)
    with pytest.raises(FileNotFoundError):
        open_index(tmp_path / "nowhere.faiss", None)
