"""A model's name, or the identity of a collection's encoder -> the encoder that is fastest on this machine.

On a GPU and as the reference that is PyTorch. On a CPU it is ONNX Runtime, whose towers are exported once and compared
with the reference, unless a test of the speed, once a machine and model, finds PyTorch faster.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.encoder import load_encoder
from search.errors import ExportRefused, ModelUnavailable
from search.exports import Exports
from search.trial import Way, machine
from search.types import EncoderIdentity, Precision, Runtime

if TYPE_CHECKING:
    from search.encoder import Encoder

Purpose = Literal["query", "serve", "build"]
"""One query from a fresh process; queries, one at a time; as many pictures as can be."""

_WAYS: dict[Purpose, tuple[Way, ...]] = {"serve": ("torch", "onnx"), "build": ("torch", "onnx-apart")}
"""In a build decoders want the cores too, and threads that share a computation wait for the one that lost its core."""


def quiet(_note: str) -> None:
    """For a loader that nobody listens to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Loads encoders. `device` is "auto", "cpu", "cuda" or "cuda:N"; `threads` are those of one computation.

    `models` is the folder in which bare names are looked for, `cache` that in which exported towers are kept. `tell` is
    told what takes long. Methods raise ModelUnavailable with the reason and the ways out.
    """

    purpose: Purpose
    cache: Path
    threads: int
    device: str = "auto"
    runtime: Runtime = "auto"
    models: Path | None = None
    tell: Callable[[str], None] = quiet

    def of(self, identity: EncoderIdentity) -> Encoder:
        """The encoder of a collection; without torch where its towers are exported."""
        if self._takes_onnx(identity.precision) and (encoder := self._exported(identity)):
            return encoder
        return self.named(identity.model, precision=identity.precision)

    def named(self, model: str, *, precision: Precision = "fp32") -> Encoder:
        """The encoder of a model's name (see `find_checkpoint`). Its towers are exported now if they are not yet.

        For a single query they are only where `runtime` asks for that: it takes longer than the query.
        """
        hurry = self.purpose == "query" and self.runtime == "auto" and precision == "fp32"
        if hurry or not self._takes_onnx(precision):
            return load_encoder(model, device=self.device, models=self.models)
        return self._prepared(model, precision)

    def _takes_onnx(self, precision: Precision) -> bool:
        """Whether ONNX Runtime may compute; int8 it must. Raises ModelUnavailable for what does not go together."""
        demand = "int8" if precision == "int8" else "--runtime onnx" if self.runtime == "onnx" else None
        if demand and self.device not in ("auto", "cpu"):
            raise ModelUnavailable(
                f"{demand} computes on the CPU, not on device {self.device!r}; leave one of them out"
            )
        if precision == "int8" and self.runtime == "torch":
            raise ModelUnavailable("int8 is computed by ONNX Runtime, not by PyTorch; leave --runtime out")
        if self.runtime == "torch" or self.device not in ("auto", "cpu"):
            return False
        return demand is not None or self.device == "cpu" or not cuda_available()

    def _way(self, exports: Exports, precision: Precision) -> Way | None:
        """The fastest for the purpose; None where that was not measured on this machine."""
        if self.purpose == "query":
            return "onnx"
        speeds = exports.speeds(machine(self.threads), precision)
        ways = [way for way in _WAYS[self.purpose] if way in speeds and (way != "torch" or self.runtime == "auto")]
        return max(ways, key=lambda way: speeds[way], default=None)

    def _exported(self, identity: EncoderIdentity) -> Encoder | None:
        """The towers in ONNX Runtime; None where they are missing, damaged or slower than PyTorch's.

        A single query trusts their sizes.
        """
        exports = Exports.of(self.cache, identity)
        way, thorough = self._way(exports, identity.precision), self.purpose != "query"
        if way in (None, "torch"):
            return None
        if any(exports.facts(part, thorough=thorough) is None for part in {"fp32", identity.precision}):
            return None
        return self._open(exports, identity, way)

    def _open(self, exports: Exports, identity: EncoderIdentity, way: Way) -> Encoder:
        from search.onnx_encoder import open_exported

        apart, once = way == "onnx-apart", self.purpose == "query"
        return open_exported(exports, identity, threads=self.threads, apart=apart, once=once)

    def _prepared(self, model: str, precision: Precision) -> Encoder:
        """The fastest; without torch where it is known which model that is, and its towers are exported.

        Else what is missing is exported and measured.
        """
        from search.known_models import KnownModel  # what asks the hub's cache is slow to import

        known = KnownModel.of(model, precision, cache=self.cache, models=self.models)
        if known and (identity := known.identity) and (encoder := self._exported(identity)):
            return encoder
        from search.building import build_model
        from search.checkpoints import find_checkpoint
        from search.preparing import prepare
        from search.torch_encoder import TorchEncoder, pick_device

        loaded = build_model(find_checkpoint(model, models=self.models))
        reference = TorchEncoder(loaded, pick_device("cpu"))
        exports = Exports.of(self.cache, loaded.identity)
        try:
            identity = prepare(exports, loaded, reference, precision, threads=self.threads, tell=self.tell)
            if known:
                with exports.writing():
                    known.remember(identity)
        except ExportRefused as error:
            if self.runtime == "onnx" or precision == "int8":
                raise ExportRefused(f"{model} cannot be computed by ONNX Runtime: {error}") from error
            self.tell(f"{model} stays on PyTorch: {error}")
            return reference
        way = self._way(exports, precision)
        return reference if way in (None, "torch") else self._open(exports, identity, way)


def cuda_available() -> bool:
    """Whether "auto" means a GPU. PyTorch, which takes seconds to import, is asked only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        if not Path("/dev/kfd").exists():  # AMD's
            return False
    from search import torch_encoder

    return torch_encoder.cuda_available()
