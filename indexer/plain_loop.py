"""What one would write without this project: open_clip's own preprocessing and model, fed by a DataLoader."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from search.building import LoadedModel, build_model
from search.checkpoints import find_checkpoint
from search.settings import Settings
from search.tokens import Tokens

_GEMM = 1536
_GEMM_TRIES = 7


class _Files(Dataset[torch.Tensor]):
    def __init__(self, paths: Sequence[str], transform: Any) -> None:
        self._paths, self._transform = paths, transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        pixels: torch.Tensor = self._transform(Image.open(self._paths[number]).convert("RGB"))
        return pixels


class PlainLoop:
    """The reference towers of a model's name, on a CPU."""

    def __init__(self, model: str) -> None:
        self._loaded: LoadedModel = build_model(find_checkpoint(model, models=Settings.from_environment().models))

    def images_per_second(self, paths: Sequence[str], *, batch_size: int, workers: int) -> float:
        """Decode, preprocess and encode the pictures."""
        started = time.perf_counter()
        loader = DataLoader(_Files(paths, self._loaded.transform), batch_size=batch_size, num_workers=workers)
        with torch.inference_mode():
            for batch in loader:
                functional.normalize(self._loaded.towers.encode_image(batch), dim=-1)
        return len(paths) / (time.perf_counter() - started)

    def limit(self) -> float:
        """Images a second if the image tower computed at the rate of large float32 matrix products."""
        side = self._loaded.transform(Image.new("RGB", (1, 1))).unsqueeze(0)
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), counter:
            self._loaded.towers.encode_image(side)
        return gemm_flops() / counter.get_total_flops()

    def seconds_of_padded_text(self, text: str) -> float:
        """One text, padded to the context as the tokenizer gives it. NoTextTower of a model for images alone."""
        tokens = Tokens(self._loaded.tokenizer)([text])
        started = time.perf_counter()
        with torch.inference_mode():
            self._loaded.towers.encode_text(tokens)
        return time.perf_counter() - started


def gemm_flops() -> float:
    """Floating-point operations a second of float32 matrix products here, the best of some."""
    matrix = torch.rand(_GEMM, _GEMM)
    fastest = float("inf")
    for _ in range(_GEMM_TRIES):
        started = time.perf_counter()
        matrix @ matrix
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * _GEMM**3 / fastest
