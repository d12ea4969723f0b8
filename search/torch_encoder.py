"""The towers in PyTorch, the reference and what runs on GPUs: images or texts -> (n, dim) unit rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL.Image import Image
from torch.nn import functional

from search.building import LoadedModel
from search.cutting import cut_to_longest
from search.encoder import IMAGE_BATCH, TEXT_BATCH, finite
from search.errors import ModelUnavailable
from search.fitting import FittingBatches
from search.geometry import Geometry, geometry_of, squashes, without_ends
from search.settings import DEVICE, DEVICES
from search.tokens import Tokens
from search.types import EncoderIdentity, Logits


def cuda_available() -> bool:
    return torch.cuda.is_available()


def pick_device(name: str) -> torch.device:
    """The device of this name; "auto" is the GPU where there is one. Raises ModelUnavailable with the choices."""
    if (named := DEVICE.fullmatch(name)) is None:
        raise ModelUnavailable(f"no device is called {name!r}; choose {DEVICES}")
    if name == "auto":
        return torch.device("cuda" if cuda_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not cuda_available():
        raise ModelUnavailable(f"device {name!r}: PyTorch finds no CUDA device here; choose auto or cpu")
    if int(named[1] or 0) >= (count := torch.cuda.device_count()):
        raise ModelUnavailable(f"device {name!r}: there are {count}, cuda:0 to cuda:{count - 1}")
    return torch.device(name)


@dataclass(frozen=True, slots=True)
class _Running:
    """Rows on their way to the host; `done` is None when they have arrived."""

    rows: torch.Tensor
    done: torch.cuda.Event | None


class TorchEncoder:
    """The reference encoder: open_clip's towers in PyTorch, fp32 on a CPU, bf16 or fp16 autocast on CUDA.

    If `quick`, `search.geometry` prepares pictures where it knows how, no longer bit for bit as open_clip does: a GPU
    waits for the cores that do so.
    """

    def __init__(self, loaded: LoadedModel, device: torch.device, *, quick: bool = False) -> None:
        self._identity = loaded.identity
        self._logits = _logits_of(loaded.towers)
        self._towers = loaded.towers.to(device)
        self._tokens = Tokens(loaded.tokenizer)
        self._encode_text = cut_to_longest(self._towers)
        self._device = device
        self._uploads = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._half = _half_precision(device)
        *steps, _, normalize = loaded.transform.transforms
        if not squashes(loaded.identity.preprocessing):
            steps.insert(0, without_ends)
        self._prepare = (quick and _geometry_of(loaded.identity)) or partial(_in_steps, steps)
        self._side: int = max(self.preprocess(Pictures.new("RGB", (1, 1))).shape)
        self._mean, self._std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in (normalize.mean, normalize.std))
        self._images = FittingBatches(self._encode_pixels, torch.OutOfMemoryError)
        self._texts = FittingBatches(self._encode_tokens, torch.OutOfMemoryError)

    @property
    def identity(self) -> EncoderIdentity:
        return self._identity

    @property
    def side(self) -> int:
        return self._side

    @property
    def on_gpu(self) -> bool:
        return self._device.type != "cpu"

    @property
    def logits(self) -> Logits:
        return self._logits

    @property
    def context(self) -> int:
        return self._tokens.context

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._tokens.count(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self._tokens.reads(texts)

    def preprocess(self, image: Image) -> NDArray[np.uint8]:
        """Resized and cropped by open_clip's own steps up to the tensor, or quickly; (height, width, 3)."""
        return self._prepare(image)

    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        pixels = (torch.from_numpy(np.require(batch, np.uint8, ("C", "W"))) for batch in batches)
        return self._pipeline(self._images, pixels)

    def encode_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        chunks = (images[start : start + IMAGE_BATCH] for start in range(0, len(images), IMAGE_BATCH))
        return self._gather(self.encode_batches(np.stack([self.preprocess(i) for i in chunk]) for chunk in chunks))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        chunks = (texts[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH))
        return self._gather(self._pipeline(self._texts, (self._tokens(chunk) for chunk in chunks)))

    def _gather(self, parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate([np.empty((0, self._identity.dim), np.float32), *parts])

    def _pipeline(self, tower: FittingBatches, batches: Iterable[torch.Tensor]) -> Iterator[NDArray[np.float32]]:
        """Keeps CUDA one batch ahead: the next batch is copied while the last computes."""
        ahead = 0 if self._uploads is None else 1
        running: deque[_Running] = deque()
        for batch in batches:
            running.append(self._start(tower, batch))
            if len(running) > ahead:
                yield self._finish(running.popleft())
        while running:
            yield self._finish(running.popleft())

    def _start(self, tower: FittingBatches, batch: torch.Tensor) -> _Running:
        if len(batch) == 0:
            return _Running(torch.empty(0, self._identity.dim), None)
        rows = tower(batch)
        if self._uploads is None:
            return _Running(rows, None)
        on_host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
        on_host.copy_(rows, non_blocking=True)
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(self._device))
        return _Running(on_host, done)

    def _finish(self, running: _Running) -> NDArray[np.float32]:
        if running.done is not None:
            running.done.synchronize()
        return finite(np.array(running.rows.numpy(), dtype=np.float32), self._identity)

    def _encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, height, width, 3) uint8 on the host -> (n, dim) on the device."""
        on_device = self._upload(pixels).permute(0, 3, 1, 2).contiguous()
        return self._encode(self._towers.encode_image, (on_device.float() / 255 - self._mean) / self._std)

    def _encode_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, context) on the host -> (n, dim) on the device."""
        return self._encode(self._encode_text, self._upload(tokens))

    def _encode(self, tower: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        half = self._half
        with torch.inference_mode(), torch.autocast(self._device.type, dtype=half, enabled=half is not None):
            features = tower(inputs)
        with torch.inference_mode():
            return functional.normalize(features.float(), dim=-1)

    def _upload(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch on the device; to CUDA from pinned memory on a stream of its own, beside the computation."""
        if self._uploads is None:
            return batch
        with torch.cuda.stream(self._uploads):
            on_device = batch.pin_memory().to(self._device, non_blocking=True)
        compute = torch.cuda.current_stream(self._device)
        compute.wait_stream(self._uploads)
        on_device.record_stream(compute)
        return on_device


def _geometry_of(identity: EncoderIdentity) -> Geometry | None:
    try:
        return geometry_of(identity.preprocessing)
    except ValueError:
        return None


def _in_steps(steps: Sequence[Callable[[Any], Any]], picture: Any) -> NDArray[np.uint8]:
    for step in steps:
        picture = step(picture)
    return np.array(picture, dtype=np.uint8)


def _half_precision(device: torch.device) -> torch.dtype | None:
    """bf16 where the GPU computes in it (compute capability 8.0), else fp16; None keeps fp32."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def _logits_of(towers: Any) -> Logits:
    """Models keep the logarithm of the scale; few have a bias, and a tower alone has neither."""
    scale, bias = getattr(towers, "logit_scale", None), getattr(towers, "logit_bias", None)
    return Logits(1.0 if scale is None else scale.exp().item(), 0.0 if bias is None else bias.item())
