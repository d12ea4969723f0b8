"""Queries that come at once go through the tower together, and each caller gets the answer to its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from search.batching import BatchingEncoder, Gathered
from search.encoder import load_encoder
from search.errors import ModelUnavailable
from tests.colors import COLORS, ColorEncoder

TIMEOUT_S = 20


class Tower:
    """Doubles numbers; the first batch waits for `go`. `batches` are what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, items: list[int]) -> NDArray[np.float32]:
        self.batches.append(items)
        self.started.set()
        assert self.go.wait(TIMEOUT_S)
        if 13 in items:
            raise ModelUnavailable("13")
        if 17 in items:
            raise KeyError(17)
        return np.array([[2 * item] for item in items], np.float32)


def ask_while_busy(tower: Tower, gathered: Gathered[int], first: int, others: list[int]) -> list[Future]:
    """One query that keeps the tower busy until all the others wait."""
    with ThreadPoolExecutor(len(others) + 1) as threads:
        futures = [threads.submit(gathered, first)]
        assert tower.started.wait(TIMEOUT_S)
        futures += [threads.submit(gathered, other) for other in others]
        until(lambda: len(gathered._waiting) == len(others))
        tower.go.set()
    return futures


def until(holds: Callable[[], bool]) -> None:
    event = threading.Event()
    for _ in range(TIMEOUT_S * 100):
        if holds():
            return
        event.wait(0.01)
    raise AssertionError("it did not come to that")


def test_those_who_wait_for_the_tower_go_through_it_together() -> None:
    tower = Tower()
    futures = ask_while_busy(tower, Gathered(tower), 1, [2, 3, 4])
    assert [future.result().tolist() for future in futures] == [[2], [4], [6], [8]]
    assert tower.batches[0] == [1]
    assert sorted(tower.batches[1]) == [2, 3, 4]


def test_a_batch_is_bounded() -> None:
    tower = Tower()
    futures = ask_while_busy(tower, Gathered(tower, limit=2), 1, [2, 3, 4, 5, 6])
    assert [future.result().tolist() for future in futures] == [[2], [4], [6], [8], [10], [12]]
    assert [len(batch) for batch in tower.batches] == [1, 2, 2, 1]


def test_a_full_batch_goes_beside_one_that_is_not_done() -> None:
    tower = Tower()
    gathered = Gathered(tower, limit=2, runs=2)
    with ThreadPoolExecutor(6) as threads:
        futures = [threads.submit(gathered, 1)]
        until(lambda: len(tower.batches) == 1)
        futures += [threads.submit(gathered, 2)]
        until(lambda: len(gathered._waiting) == 1)
        assert tower.batches == [[1]], "one alone waits until the tower is idle"
        futures += [threads.submit(gathered, 3)]
        until(lambda: len(tower.batches) == 2)
        futures += [threads.submit(gathered, other) for other in (4, 5, 6)]
        until(lambda: len(gathered._waiting) == 3)
        assert [sorted(batch) for batch in tower.batches] == [[1], [2, 3]], "no third run"
        tower.go.set()
    assert [future.result().tolist() for future in futures] == [[2], [4], [6], [8], [10], [12]]


def test_a_failure_reaches_its_own_caller_only() -> None:
    tower = Tower()
    *futures, bad = ask_while_busy(tower, Gathered(tower), 1, [2, 3, 13])
    assert [future.result().tolist() for future in futures] == [[2], [4], [6]]
    with pytest.raises(ModelUnavailable, match="13"):
        bad.result()


def test_after_a_fault_that_nobody_expected_the_others_are_answered() -> None:
    tower = Tower()
    first, bad, *others = ask_while_busy(tower, Gathered(tower), 1, [17, 2, 3, 4])
    assert first.result().tolist() == [2]
    with pytest.raises(KeyError):
        bad.result()
    answered = [future.result().tolist() for future in others if not future.exception()]
    assert len(answered) >= 2, "all but whoever started the tower for all of them"
    assert {answer[0] for answer in answered} <= {4, 6, 8}


def test_the_tower_is_free_again_after_a_failure() -> None:
    tower = Tower()
    tower.go.set()
    gathered = Gathered(tower)
    with pytest.raises(ModelUnavailable):
        gathered(13)
    assert gathered(4).tolist() == [8]


def test_the_rows_are_those_of_the_encoder(encoder: ColorEncoder) -> None:
    batching = BatchingEncoder(encoder)
    images = [Image.new("RGB", (9, 9), COLORS[color]) for color in ("red", "blue")]
    for count in (1, 2):
        np.testing.assert_array_equal(batching.encode_images(images[:count]), encoder.encode_images(images[:count]))
    for texts in (["red"], ["red", "blue"]):
        np.testing.assert_array_equal(batching.encode_texts(texts), encoder.encode_texts(texts))
    assert batching.identity == encoder.identity
    np.testing.assert_array_equal(batching.preprocess(images[0]), encoder.preprocess(images[0]))


def test_many_threads_get_what_the_towers_give_each_alone(tiny_model: Path) -> None:
    encoder = load_encoder(str(tiny_model), device="cpu")
    batching = BatchingEncoder(encoder)
    texts = [f"a picture of {number} dogs" for number in range(24)]
    images = [Image.new("RGB", (40, 40), (10 * number, 0, 90)) for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        of_texts = np.concatenate(list(threads.map(lambda text: batching.encode_texts([text]), texts)))
        of_images = np.concatenate(list(threads.map(lambda image: batching.encode_images([image]), images)))
    np.testing.assert_allclose(of_texts, encoder.encode_texts(texts), atol=1e-5)
    np.testing.assert_allclose(of_images, encoder.encode_images(images), atol=1e-5)
