"""Weights files of any of the formats, told apart by their first bytes -> tensors by name, and their digest.

Nothing in a file is run: pickles are read with weights only, TorchScript archives without their code.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import textwrap
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from search.errors import ModelUnavailable
from search.files import file_digest
from search.model_files import INDEX
from search.torchscript import is_torchscript, read_torchscript

# What open_clip, timm and PyTorch raise on a configuration or weights that make no model.
UNFIT = (AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
_DAMAGED = (
    *(SafetensorError, pickle.UnpicklingError, EOFError, StopIteration, struct.error, zipfile.BadZipFile, zlib.error),
    *(ArithmeticError, MemoryError),  # sizes that no machine has
    *UNFIT,
)

State = dict[str, torch.Tensor]


def read_weights(path: Path) -> State:
    """The tensors of a weights file, or of the shards that an index lists, on the CPU, in the types they are stored in.

    Training's wrapping is taken off: `{"state_dict": ...}` and the prefix `module.`. Raises ModelUnavailable.
    """
    state: State = {}
    try:
        for file in files_of(path):
            state |= _unwrapped(_read(file))
    except _DAMAGED as error:
        raise ModelUnavailable(f"{path} is damaged or no weights file: {short(error)}") from error
    return state


def files_of(path: Path) -> list[Path]:
    """The weights file itself, or the shards that an index lists, in their order by name."""
    if not path.name.endswith(INDEX):
        return [path]
    names = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    if strangers := [name for name in names if name != Path(name).name]:
        raise ValueError(f"it lists files outside its folder: {', '.join(sorted(strangers))}")
    return [path.with_name(name) for name in sorted(names)]


def digest(path: Path) -> str:
    """The hex sha256 of a weights file; of shards, that of their digests one after another."""
    files = files_of(path)
    digests = [file_digest(file) for file in files]
    return digests[0] if files == [path] else hashlib.sha256("".join(digests).encode()).hexdigest()


def short(error: BaseException) -> str:
    return textwrap.shorten(str(error) or repr(error), 300, placeholder=" ...")


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{":
        return load_file(path)
    if is_torchscript(path):
        return read_torchscript(path)
    # Given a name, torch goes by how it ends.
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:  # whose words advise to trust the file
            raise ValueError("it is no pickle of tensors alone, and what asks for more is refused") from error


def _unwrapped(content: Any) -> State:
    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"it holds no weights but {type(content).__name__}")
    if other := next((key for key, value in content.items() if not isinstance(value, torch.Tensor)), None):
        raise ValueError(f"it holds {other!r}, which is no tensor")
    wrapped = all(key.startswith("module.") for key in content)
    return {key.removeprefix("module.") if wrapped else key: value for key, value in content.items()}
