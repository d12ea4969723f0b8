"""Kinds of index: the scan against comparing everything, and which of them is published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from search.errors import CollectionError
from search.exact_index import ExactIndex
from search.index import VectorIndex
from search.index_recall import Probes, make_probes, nearest, recall
from search.kinds import LEAST_SCAN, Publication, choose, open_index
from search.scan_index import CANDIDATES, MOST_DIMS, ScanIndex, train_codes
from search.seals import Seal
from search.types import IndexFacts, IndexPolicy

DIM, COUNT = 24, LEAST_SCAN + 3_000

AUTO, SCAN = IndexPolicy(), IndexPolicy("scan")


def pictures(count: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Rows with a mean and a falling spectrum, as vectors of pictures have, rounded as the catalog rounds."""
    rows = np.random.default_rng(seed).normal(size=(count, dim)) * np.geomspace(1, 0.1, dim) + np.eye(dim)[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def texts(count: int, dim: int = DIM) -> np.ndarray:
    """Rows that lie elsewhere, and whose weight is on the weak axes too."""
    rows = np.random.default_rng(9).normal(size=(count, dim)) + 2 * np.eye(dim)[-1]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def probes(rows: np.ndarray) -> Probes:
    return Probes(rows, np.full(len(rows), -1))


@pytest.fixture(scope="module")
def exact() -> ExactIndex:
    ids = np.arange(COUNT) * 2 + 5
    return ExactIndex.build(DIM, [(ids, pictures(COUNT, 1))])


@pytest.fixture(scope="module")
def scan(exact: ExactIndex) -> ScanIndex:
    return ScanIndex.over(exact, train_codes(exact.sample(5_000)[1]))


def share(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(some) & set(all_)) / len(all_) for some, all_ in zip(found, true, strict=True)]))


@pytest.mark.parametrize("queries", [texts(50), pictures(50, 3)], ids=["texts", "pictures"])
def test_a_scan_finds_the_neighbours_of_brute_force(scan: ScanIndex, queries: np.ndarray) -> None:
    scan.candidates = 1_000
    ids, rows = scan.contents(0, COUNT)
    scores = queries @ rows.T
    best = np.argsort(-scores, axis=1)[:, :10]
    found = scan.search(queries, 10)
    assert share(found.ids, ids[best]) > 0.99
    assert found.scores[:, 0] == pytest.approx(np.take_along_axis(scores, best, 1)[:, 0], abs=1e-4)


def test_what_asks_for_no_guess_compares_everything(scan: ScanIndex, exact: ExactIndex) -> None:
    scan.candidates = 100
    queries = texts(20)
    assert np.array_equal(scan.search(queries, 10, exact=True).ids, exact.search(queries, 10).ids)
    some = np.sort(exact.ids[::7])
    among = scan.search(queries, 10, some)
    assert np.array_equal(among.ids, exact.search(queries, 10, some).ids)
    assert np.isin(among.ids, some).all()
    deep = scan.search(queries[:1], COUNT)
    assert sorted(deep.ids[0].tolist()) == sorted(exact.ids.tolist())


def test_a_scan_is_saved_mapped_and_made_again_with_its_codes(
    scan: ScanIndex, exact: ExactIndex, tmp_path: Path
) -> None:
    scan.candidates = 700
    seal = scan.save(tmp_path / "images.faiss")
    mapped = open_index(tmp_path / "images.faiss", seal)
    assert isinstance(mapped, ScanIndex)
    assert mapped.candidates == 700
    assert len(mapped) == COUNT
    assert all(map(np.array_equal, mapped.contents(10, 50), exact.contents(10, 50)))
    again = ScanIndex.over(exact, mapped.codes())
    again.candidates = 700
    queries = texts(20)
    wanted = scan.search(queries, 10)
    for index in (mapped, again):
        assert np.array_equal(index.search(queries, 10).ids, wanted.ids)
    assert [file.name for file in tmp_path.iterdir()] == ["images.faiss"]


@pytest.mark.parametrize("dim", [25, MOST_DIMS + 8])
def test_codes_take_odd_and_long_vectors(dim: int) -> None:
    few = ExactIndex.build(dim, [(np.arange(2_000), pictures(2_000, 4, dim))])
    index = ScanIndex.over(few, train_codes(few.sample(1_000)[1]))
    index.candidates = 10
    queries = pictures(20, 5, dim)
    assert share(index.search(queries, 10).ids, few.search(queries, 10).ids) > 0.5


def test_recall_counts_equals_as_found_and_nobody_as_their_own_neighbour(exact: ExactIndex) -> None:
    ids, rows = exact.sample(30)
    own = nearest(exact, Probes(rows, ids), exact=True)
    scores = rows @ exact.contents(0, COUNT)[1].T
    assert own == pytest.approx(-np.sort(-scores, axis=1)[:, 1:11], abs=1e-5)
    twice = ExactIndex.build(DIM, [(np.arange(60), np.concatenate([rows, rows]))])
    true = nearest(twice, probes(rows), exact=True)
    assert recall(true, true) == 1
    assert recall(np.where(np.arange(10) < 3, -1, true), true) == pytest.approx(0.7)


def test_probes_are_of_both_modalities_and_know_themselves(exact: ExactIndex) -> None:
    few = ExactIndex.build(DIM, [(np.arange(1, 4), texts(3))])
    indexes = {"images": exact, "texts": few}
    of_images = make_probes("images", indexes, None)
    assert np.isin(of_images["image"].own, exact.ids).all()
    assert (of_images["text"].own == -1).all()
    assert make_probes("texts", indexes, None)["text"].own.tolist() == [1, 2, 3]
    assert len(make_probes("images", indexes, texts(40))["text"].rows) == 40
    assert "text" not in make_probes("images", {"images": exact, "texts": ExactIndex.build(DIM, ())}, None)


def chosen(exact: ExactIndex, policy: IndexPolicy, last: VectorIndex | None = None) -> tuple[VectorIndex, IndexFacts]:
    measured = {"text": probes(texts(50)), "image": probes(pictures(50, 3))}
    return choose(exact, policy, measured, last)


def test_small_collections_and_those_who_ask_compare_everything(exact: ExactIndex) -> None:
    assert chosen(exact, AUTO)[1] == IndexFacts("exact", COUNT)
    assert chosen(exact, IndexPolicy("exact"))[1] == IndexFacts("exact", COUNT)
    few = ExactIndex.build(DIM, [(np.arange(500), pictures(500, 1))])
    assert chosen(few, SCAN)[1] == IndexFacts("exact", 500)


def test_a_scan_is_published_with_the_recall_that_it_has(exact: ExactIndex) -> None:
    index, facts = chosen(exact, SCAN)
    assert index.kind == facts.kind == "scan"
    for modality, queries in (("text", texts(50)), ("image", pictures(50, 3))):
        wanted = share(index.search(queries, 10).ids, exact.search(queries, 10).ids)
        assert facts.recall[modality] == pytest.approx(wanted, abs=0.02)
        assert facts.recall[modality] >= 0.99


def test_a_scan_that_misses_too_much_gives_way(exact: ExactIndex) -> None:
    index, facts = chosen(exact, IndexPolicy("scan", 1.01))
    assert index.kind == facts.kind == "exact"
    assert facts.recall.keys() == {"text", "image"}


def test_codes_serve_on_until_recall_with_them_falls_short(exact: ExactIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    last, _ = chosen(exact, SCAN)
    trained: list[int] = []

    def count(sample: np.ndarray) -> object:
        trained.append(len(sample))
        return train_codes(sample)

    monkeypatch.setattr("search.kinds.train_codes", count)
    more = ExactIndex.build(DIM, [(np.arange(COUNT + 500), pictures(COUNT + 500, 1))])
    assert chosen(more, SCAN, last)[0].kind == "scan"
    assert trained == []
    drifted = ExactIndex.build(DIM, [(np.arange(COUNT), pictures(COUNT, 6)[:, ::-1].copy())])
    chosen(drifted, IndexPolicy("scan", 1.01), last)
    assert len(trained) == 1


def test_codes_that_need_more_candidates_keep_them(exact: ExactIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(index: ExactIndex, some: Probes, *, exact: bool) -> np.ndarray:
        enough = exact or getattr(index, "candidates", 0) > CANDIDATES
        return nearest(index, some, exact=exact) - (0 if enough else 1)

    monkeypatch.setattr("search.kinds.nearest", scarce)
    last, facts = chosen(exact, SCAN)
    assert facts.candidates == 2 * CANDIDATES
    monkeypatch.setattr("search.kinds.train_codes", None)  # nobody trains
    assert chosen(exact, SCAN, last)[1] == facts


def test_a_publication_is_kept_and_its_damage_told() -> None:
    assert Publication.from_dict(None) == Publication(AUTO, {})
    facts = {"images": IndexFacts("scan", 5, {"text": 0.99}, 2_000), "texts": IndexFacts("exact", 0)}
    kept = Publication(SCAN, facts, {"images": Seal(100, 10, 20, 7)})
    stored = json.loads(json.dumps(kept.to_dict()))
    assert Publication.from_dict(stored) == kept
    del stored["seals"]  # as older releases had it
    assert Publication.from_dict(stored) == Publication(SCAN, facts)
    for damage in ([], {"policy": {"kind": "scan"}}, {"policy": {"odd": 1}, "facts": {}}):
        with pytest.raises(CollectionError, match="verify --repair"):
            Publication.from_dict(damage)
