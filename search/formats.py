"""The files of a directory or repository -> a checkpoint; whose library wrote them is told by their configuration."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from search import hugging_face, timm_tower
from search.errors import ModelUnavailable
from search.model_files import INDEX
from search.weights import UNFIT, files_of, short

Find = Callable[..., Path | None]
"""The first of these file names that a directory or repository has, None where it has none of them."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files and the configuration of a model. `name` finds them again; `tokenizer` is a Hugging Face folder.

    `weights` is a file, or the index of several. `model_cfg` is open_clip's, or `{"timm": ...}` for a timm image tower;
    `preprocess_cfg` is that of preprocessing.py.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path
    tokenizer: Path | None = None


def read_open_clip(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's and the preprocessing configuration of an open_clip_config.json."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        model_cfg = dict(config["model_cfg"])
        model_cfg |= {key: dict(model_cfg[key]) for key in ("vision_cfg", "text_cfg")}
        return model_cfg, merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg"))
    except UNFIT as error:
        raise ModelUnavailable(f"{path} is no open_clip configuration: {error!r}") from error


def of_config(name: str, path: Path, find: Find) -> Checkpoint:
    """The checkpoint of a config.json, which transformers and timm both write. Raises ModelUnavailable."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if "architecture" in config and "pretrained_cfg" in config:
            return _timm(name, config, find)
        if config.get("model_type") == "clip":
            return _transformers(name, config, find)
        kind = config.get("model_type") or config.get("architectures") or "nothing that is known here"
    except UNFIT as error:
        raise ModelUnavailable(f"{path} and the files beside it make no model: {short(error)}") from error
    raise ModelUnavailable(
        f"{path} is the configuration of {kind}; only transformers' CLIPModel (clip) and timm's models are known"
    )


def _transformers(name: str, config: dict[str, Any], find: Find) -> Checkpoint:
    processor = _required(find, hugging_face.PREPROCESSOR, hugging_face.PROCESSOR)
    preprocess_cfg = hugging_face.preprocess_cfg(json.loads(processor.read_text(encoding="utf-8")))
    model_cfg = hugging_face.model_cfg(config)
    weights = _weights(find)
    return Checkpoint(
        name,
        model_cfg,
        merge_preprocess_dict(PreprocessCfg(), preprocess_cfg) | preprocess_cfg,
        weights,
        _own_tokenizer(model_cfg["text_cfg"]["vocab_size"], find),
    )


def _own_tokenizer(vocab_size: int, find: Find) -> Path | None:
    """The folder of a tokenizer that is not CLIP's; None where open_clip's own reads texts alike."""
    vocabulary = find(*hugging_face.VOCABULARIES)
    if hugging_face.is_clips_vocabulary(vocabulary, vocab_size):
        return None
    if vocabulary is None:
        raise ValueError(f"its {vocab_size} tokens are not CLIP's, and there is no {hugging_face.VOCABULARIES[0]}")
    require_transformers()
    return _required(find, "tokenizer_config.json").parent


def _timm(name: str, config: dict[str, Any], find: Find) -> Checkpoint:
    model_cfg = {"timm": timm_tower.tower_cfg(config)}
    return Checkpoint(name, model_cfg, timm_tower.preprocess_cfg(config), _weights(find))


def _weights(find: Find) -> Path:
    """The weights file, or the index of shards, all of them found."""
    weights = _required(find, *hugging_face.WEIGHTS)
    if weights.name.endswith(INDEX):
        for shard in files_of(weights):
            _required(find, shard.name)
    return weights


def _required(find: Find, *names: str) -> Path:
    found = find(*names)
    if found is None:
        raise ModelUnavailable(f"it has no file {' or '.join(names)}")
    return found


def require_transformers() -> None:
    if importlib.util.find_spec("transformers") is None:
        raise ModelUnavailable("its tokenizer needs another package: pip install transformers")
