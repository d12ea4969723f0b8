"""The encoder: images or texts -> (n, dim) unit rows, whatever computes its towers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from search.errors import ModelUnavailable
from search.types import EncoderIdentity, Logits

if TYPE_CHECKING:
    from search.models import Hub
    from search.torch_encoder import TorchEncoder

IMAGE_BATCH = 32
TEXT_BATCH = 256
"""Rows that `encode_images` and `encode_texts` give the towers at once."""


class Encoder(Protocol):
    """Two towers over one space. Rows are float32 of unit length; methods may be called from several threads."""

    @property
    def identity(self) -> EncoderIdentity: ...

    @property
    def side(self) -> int:
        """How many pixels the longer side of what the image tower takes has."""

    @property
    def on_gpu(self) -> bool:
        """Whether the towers are on a GPU, which works beside the cores."""

    @property
    def logits(self) -> Logits: ...

    @property
    def context(self) -> int:
        """Tokens of a text that the text tower reads."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, with those that the tokenizer sets around it."""

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Whether the text tower can know the script of each text."""

    def preprocess(self, image: Image) -> NDArray[np.uint8]:
        """An upright RGB picture as the (height, width, 3) pixels that the image tower takes."""

    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """(n, height, width, 3) pixels -> (n, dim), one output for each input, in order, at most one batch behind."""

    def encode_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Upright RGB pictures -> (n, dim)."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> (n, dim); of a text with more tokens than `context` only the first are read.

        NoTextTower without one.
        """


def load_encoder(
    model: str, *, device: str = "auto", models: Path | None = None, hub: Hub | None = None
) -> TorchEncoder:
    """The encoder in PyTorch of a model's name (see `find_checkpoint`) on "auto", "cpu", "cuda" or "cuda:N".

    `models` is the folder in which bare names are looked for. Raises ModelUnavailable. `search.loader` has the encoders
    that are faster on a CPU.
    """
    from search.building import build_model  # torch takes seconds to import
    from search.checkpoints import find_checkpoint
    from search.torch_encoder import TorchEncoder, pick_device

    where = pick_device(device)
    loaded = build_model(find_checkpoint(model, models=models, hub=hub))
    return TorchEncoder(loaded, where, quick=where.type != "cpu")


def finite(rows: NDArray[np.float32], identity: EncoderIdentity) -> NDArray[np.float32]:
    """The rows, (n, dim), if every one is finite and of unit length; ModelUnavailable otherwise."""
    if not np.all(np.abs(np.linalg.norm(rows, axis=1) - 1) < 1e-3):
        raise ModelUnavailable(f"{identity.model} gives vectors that are not finite; its weights are damaged")
    return rows
