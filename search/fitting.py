"""A batch -> its rows, with as many at a time through the tower as the memory holds."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch

from search.errors import ModelUnavailable


class FittingBatches:
    """Calls `encode` with as many rows at a time as the memory holds.

    When `encode` raises `out_of_memory` the rows at a time are halved, for this batch and those after it.
    """

    def __init__(self, encode: Callable[[torch.Tensor], torch.Tensor], out_of_memory: type[Exception]) -> None:
        self._encode = encode
        self._out_of_memory = out_of_memory
        self._limit = sys.maxsize

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        outputs: list[torch.Tensor] = []
        done = 0
        while done < len(batch):
            rows = min(self._limit, len(batch) - done)
            if (output := self._attempt(batch[done : done + rows])) is None:
                self._limit = rows // 2
            else:
                outputs.append(output)
                done += rows
        return torch.cat(outputs)

    def _attempt(self, rows: torch.Tensor) -> torch.Tensor | None:
        """None when the memory does not hold these rows; returning frees what the failure's traceback holds."""
        try:
            return self._encode(rows)
        except self._out_of_memory as error:
            if len(rows) == 1:
                raise ModelUnavailable(
                    f"the device's memory does not hold the model and one row: {error}\n"
                    "Free memory there, take --device cpu, or choose a smaller model."
                ) from error
            return None
