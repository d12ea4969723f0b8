"""Of how many neighbours it is asked whether they are hits, and that none is missed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from search.exact_index import ExactIndex
from search.selectivity import Plan

WANTED = 10
NEARER, ALL = 15, 40
QUERY = np.eye(1, 16, dtype=np.float32)[0]


@pytest.fixture(scope="module")
def index() -> ExactIndex:
    """200 rows, each well apart from the next by its cosine to QUERY."""
    cosines = np.random.default_rng(0).permutation(np.linspace(-1, 1, 200)).astype(np.float32)
    rows = np.zeros((200, 16), np.float32)
    rows[:, 0], rows[np.arange(200), 1 + np.arange(200) % 15] = cosines, np.sqrt(1 - cosines**2)
    return ExactIndex.build(16, [(np.arange(1, 201), rows)])


@pytest.mark.parametrize(
    ("every", "asked"),
    [
        pytest.param(1, [NEARER], id="all are hits"),
        pytest.param(2, [NEARER, ALL - NEARER], id="half are hits"),
        pytest.param(20, [NEARER, ALL - NEARER], id="too few are hits"),
    ],
)
def test_farther_neighbours_are_asked_of_where_the_nearer_ones_do_not_do(
    index: ExactIndex, every: int, asked: list[int]
) -> None:
    (ids, rows), counts = index.contents(0, 200), []

    def hits_of(some: Sequence[int]) -> frozenset[int]:
        counts.append(len(some))
        return frozenset(some) & frozenset(nearest[::every])

    nearest = ids[np.argsort(-(rows @ QUERY), kind="stable")].tolist()
    plan = Plan(None, (), hits_of, (NEARER / WANTED, ALL / WANTED), exact=True)
    found, least = plan.hits(index, QUERY, WANTED)
    reached = sum(asked)
    assert counts == asked
    assert [id_ for _, id_ in found] == nearest[:reached:every]
    # of all that scores as much, nothing is missing
    scores = dict(zip(ids.tolist(), (rows @ QUERY).tolist(), strict=True))
    surely = [id_ for id_ in nearest[::every] if scores[id_] >= least]
    assert surely == [id_ for _, id_ in found][: len(surely)]


def test_equally_near_ones_are_asked_of_together() -> None:
    rows = np.tile(np.eye(1, 8, dtype=np.float32), (30, 1))
    index = ExactIndex.build(8, [(np.arange(30), rows)])
    counts: list[int] = []

    def hits_of(some: Sequence[int]) -> frozenset[int]:
        counts.append(len(some))
        return frozenset(some)

    found, _ = Plan(None, (), hits_of, (1.5, 4), exact=True).hits(index, rows[0], 5)
    assert counts == [30]
    assert [id_ for _, id_ in found] == list(range(30))
