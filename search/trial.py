"""Ways to compute the image tower -> how many pictures a second each of them encodes on this machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from search.encoder import Encoder

Way = Literal["torch", "onnx", "onnx-apart"]
"""PyTorch; one ONNX Runtime session on all threads; one that each thread runs for pictures of its own."""

PICTURES = 16
"""So that each of two threads has as many at once as in a build."""

ROUNDS = 5
LEAST_S, ENOUGH_S = 2.0, 10.0


def machine(threads: int) -> str:
    """What speeds depend on, in words: the processor and how many threads there are for it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if platform.system() == "Linux" else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {threads} threads"


def measure(encoders: Mapping[Way, Encoder], pixels: NDArray[np.uint8]) -> dict[str, float]:
    """Pictures a second of each way over `pixels`, (n, height, width, 3): the median of rounds.

    The ways take turns. The first round is not counted; a fast model has more of them, a slow one fewer.
    """
    seconds: dict[Way, list[float]] = {way: [] for way in encoders}
    began = time.perf_counter()
    for number in count():
        for way, encoder in encoders.items():
            started = time.perf_counter()
            list(encoder.encode_batches([pixels]))
            seconds[way].append(time.perf_counter() - started)
        elapsed = time.perf_counter() - began
        if elapsed > ENOUGH_S or (number >= ROUNDS and elapsed > LEAST_S):
            break
    return {way: len(pixels) / statistics.median(taken[1:] or taken) for way, taken in seconds.items()}
