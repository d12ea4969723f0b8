"""What one would write without this project: open_clip's own preprocessing and model, fed by a DataLoader."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from search.building import LoadedModel, build_model
from search.checkpoints import find_checkpoint
from search.onnx_encoder import Tower
from search.settings import Settings
from search.tokens import Tokens

_GEMM = 1536
_GEMM_SECONDS = 1.0


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
        """Images a second if the image tower were nothing but large float32 matrix products (see `gemm_flops`).

        It is the whole tower's: a build may leave out operations that change nothing.
        """
        return gemm_flops() / self.flops()

    def flops(self) -> int:
        """Floating-point operations of the image tower for one image: two for each product of a matrix product.

        Convolutions and attention are among them, additions of biases, norms and activations are not.
        """
        image = self._loaded.transform(Image.new("RGB", (1, 1))).unsqueeze(0)
        counter = FlopCounterMode(display=False)
        with _in_plain_steps(), counter:  # with gradients: the counter's hooks on what is a weight want them
            self._loaded.towers.encode_image(image)
        return counter.get_total_flops()

    def seconds_of_padded_text(self, text: str) -> float:
        """One text, padded to the context as the tokenizer gives it. NoTextTower of a model for images alone."""
        tokens = Tokens(self._loaded.tokenizer)([text])
        started = time.perf_counter()
        with torch.inference_mode():
            self._loaded.towers.encode_text(tokens)
        return time.perf_counter() - started


@contextmanager
def _in_plain_steps() -> Iterator[None]:
    """Without the fused kernels of attention: what these multiply is not counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def gemm_flops() -> float:
    """Floating-point operations a second of float32 matrix products on all threads, kept up for a while.

    Of PyTorch and ONNX Runtime it is the faster at squares of 1536, which are as fast as a tower's products, and of
    each the median of as many as a second holds: a build takes long, too.
    """
    layer, rows = torch.nn.Linear(_GEMM, _GEMM, bias=False).eval(), torch.rand(_GEMM, _GEMM)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "layer.onnx"
        torch.onnx.export(layer, (rows,), file, dynamo=True, verbose=False)
        tower, inputs = Tower(file, torch.get_num_threads()), rows.numpy()
        return 2 * _GEMM**3 / min(_median_seconds(lambda: layer(rows)), _median_seconds(lambda: tower(inputs)))


def _median_seconds(call: Callable[[], object]) -> float:
    call()  # not counted
    taken: list[float] = []
    while sum(taken) < _GEMM_SECONDS:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
