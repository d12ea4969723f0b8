"""A TorchScript archive -> the tensors in it by name, without running its code.

Such an archive is a zip with a pickle of the modules, the raw storages that it speaks of, and the code of the methods.
The code is never read. The pickle is, with nothing to call but the reconstruction of tensors.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, as OpenAI publishes its models, and not a pickle of torch.save."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a module and of those within it, by dotted names. Raises what a damaged archive raises."""
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        root = _Unpickler(archive, pickled.removesuffix("data.pkl")).load()
    return dict(_tensors(root, ""))


class _Module:
    """Stands for every class of the archive; what the archive sets on it is all that it has."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(BytesIO(_modest(archive.read(f"{folder}data.pkl"))))
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            return _Module
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        raise pickle.UnpicklingError(f"{module}.{name} has no place in the weights of a model")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        _, dtype, key, _, count = pid
        if not count:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(self._archive.read(f"{self._folder}data/{key}")), dtype=dtype, count=count)


def _modest(pickled: bytes) -> bytes:
    """The same, unless it would have the unpickler make a memo for more objects than there are bytes."""
    for opcode, number, _ in pickletools.genops(pickled):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(number or 0) > len(pickled):
            raise pickle.UnpicklingError(f"an object with the number {number} in a pickle of {len(pickled)} bytes")
    return pickled


def _rebuild(storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    return storage.as_strided(size, stride, offset)


def _tensors(module: _Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.")
