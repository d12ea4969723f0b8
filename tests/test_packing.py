"""Parts of texts against all ways to part them."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import numpy as np
import pytest

from search.packing import MOST, PART_TOKENS, pack


def cost(lengths: list[int]) -> int:
    return PART_TOKENS + len(lengths) * max(lengths)


@pytest.mark.parametrize("seed", range(30))
def test_one_thread_computes_the_parts_that_cost_least(seed: int) -> None:
    chance = random.Random(seed)
    lengths = [chance.randint(3, 77) for _ in range(chance.randint(1, 10))]
    parts = pack(np.array(lengths), 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    ascending = sorted(lengths)
    ways = [ends for count in range(len(lengths)) for ends in combinations(range(1, len(lengths)), count)]
    least = min(sum(cost(ascending[a:b]) for a, b in pairwise([0, *ends, len(lengths)])) for ends in ways)
    assert sum(cost([lengths[place] for place in part]) for part in parts) == least


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 15, 100])
def test_no_part_is_too_large_and_no_thread_idle(threads: int, count: int) -> None:
    lengths = np.random.default_rng(count).integers(3, 77, count)
    parts = pack(lengths, threads)
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert max(map(len, parts)) <= MOST
    assert len(parts) >= min(count, threads)
    if threads > 1:
        assert max(map(len, parts[:-1]), default=0) == min(map(len, parts[:-1]), default=0)
