"""How long the stages of a search take, told to whoever wants to know."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Stage = Literal["encode", "index", "hydrate"]
"""A picture is decoded and a tower runs; vectors are compared; rows are read for the neighbours."""

Observe = Callable[[Stage, float], None]
"""Is told a stage and its seconds."""


def ignore(_stage: Stage, _seconds: float) -> None:
    """For a searcher that nobody watches."""


@contextmanager
def timed(stage: Stage, observe: Observe) -> Iterator[None]:
    """Tell `observe` how long the block took, unless it raised."""
    started = time.perf_counter()
    yield
    observe(stage, time.perf_counter() - started)
