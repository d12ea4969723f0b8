"""A model's name -> its files on this machine -> an open_clip model with its tokenizer and preprocessing.

Finding comes first and is all that may touch the network; building reads the files that were found and nothing else.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import hashlib
import importlib.util
import json
import pickle
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.utils import to_2tuple
from safetensors import SafetensorError

from search.errors import ModelUnavailable
from search.models import BUNDLED, CONFIG_FILE, WEIGHTS_FILES, Hub, local_models
from search.settings import BUNDLED_MODEL
from search.types import EncoderIdentity

HUB_PREFIX = "hf-hub:"
# What open_clip, timm and PyTorch raise on a configuration or weights that make no model.
_UNFIT = (AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

Tokenizer = Callable[[list[str]], torch.Tensor]


class Towers(Protocol):
    """What is used of an open_clip model; rows come out as the towers leave them, not unit length."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor: ...

    def encode_text(self, text: torch.Tensor) -> torch.Tensor: ...

    def to(self, device: torch.device) -> Towers: ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files and the configuration of a model. `name` finds them again; `tokenizer` is a Hugging Face folder."""

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path
    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on the CPU in fp32, ready to encode."""

    towers: Towers
    tokenizer: Tokenizer
    preprocess: PreprocessCfg
    identity: EncoderIdentity


def find_checkpoint(
    name: str, *, models: Path | None = None, hub: Hub | None = None, bundled: Path = BUNDLED_MODEL
) -> Checkpoint:
    """The files of a model, downloaded when they are neither here nor in the hub's cache.

    `name` is "bundled", "hf-hub:org/name", a folder in `models`, an open_clip directory, or "architecture/tag" out of
    open_clip's registry. Raises ModelUnavailable with the reason and the ways out.
    """
    hub = hub or Hub()
    try:
        if name == BUNDLED:
            return dataclasses.replace(_in_directory(bundled, hub), name=BUNDLED)
        if name.startswith(HUB_PREFIX):
            return _on_hub(name, hub)
        if models and name == Path(name).name and (models / name).is_dir():
            return _in_directory(models / name, hub)
        if Path(name).exists():
            return _in_directory(Path(name), hub)
        return _in_registry(name, hub)
    except ModelUnavailable as error:
        here = ", ".join(local_models(models=models, hub=hub, bundled=bundled)) or "none"
        place = f" (folders in {models} go by their names)" if models else ""
        raise ModelUnavailable(f"{name}: {error}\nModels on this machine: {here}{place}.") from error


def _in_directory(folder: Path, hub: Hub) -> Checkpoint:
    if not folder.is_dir():
        raise ModelUnavailable(f"{folder} is no directory with {CONFIG_FILE} and weights")
    if not (folder / CONFIG_FILE).is_file():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise ModelUnavailable(f"{folder} holds no {CONFIG_FILE} (found: {found})")
    model_cfg, preprocess_cfg = _read_config(folder / CONFIG_FILE)
    folder = folder.resolve()
    tokenizer = _tokenizer_folder(model_cfg, hub, here=folder)
    return Checkpoint(str(folder), model_cfg, preprocess_cfg, _weights_in(folder), tokenizer)


def _weights_in(folder: Path) -> Path:
    """The weights file that open_clip's names prefer, or the only one there is."""
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".bin", ".pt", ".pth"})
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise ModelUnavailable(f"{folder} must hold one weights file, named {' or '.join(WEIGHTS_FILES)} (found: {names})")


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's and the preprocessing configuration of an open_clip_config.json."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        model_cfg = dict(config["model_cfg"])
        model_cfg |= {key: dict(model_cfg[key]) for key in ("vision_cfg", "text_cfg")}
        return model_cfg, merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg"))
    except _UNFIT as error:
        raise ModelUnavailable(f"{path} is no open_clip configuration: {error!r}") from error


def _on_hub(name: str, hub: Hub) -> Checkpoint:
    repo = name.removeprefix(HUB_PREFIX)
    model_cfg, preprocess_cfg = _read_config(hub.fetch(repo, CONFIG_FILE))
    if repo in {entry["hf_hub"].rpartition("/")[0] for entry in _registry().values() if entry.get("quick_gelu")}:
        model_cfg["quick_gelu"] = True
    tokenizer = _tokenizer_folder(model_cfg, hub)
    return Checkpoint(name, model_cfg, preprocess_cfg, hub.fetch(repo, *WEIGHTS_FILES), tokenizer)


def _in_registry(name: str, hub: Hub) -> Checkpoint:
    registry = _registry()
    if name not in registry:
        raise ModelUnavailable(_no_such_name(name, list(registry)))
    entry = registry[name]
    model_cfg = open_clip.get_model_config(name.rpartition("/")[0])
    # open_clip only warns where weights were trained with QuickGELU and the architecture's file says GELU.
    model_cfg["quick_gelu"] = bool(model_cfg.get("quick_gelu") or entry.get("quick_gelu"))
    repo, _, filename = entry["hf_hub"].rpartition("/")
    filenames = (str(Path(filename).with_suffix(".safetensors")), filename) if filename else WEIGHTS_FILES
    tokenizer = _tokenizer_folder(model_cfg, hub)
    preprocess_cfg = merge_preprocess_dict(PreprocessCfg(), entry)
    return Checkpoint(name, model_cfg, preprocess_cfg, hub.fetch(repo, *filenames), tokenizer)


def _registry() -> dict[str, dict[str, Any]]:
    """open_clip's published weights by "architecture/tag"."""
    pairs = open_clip.list_pretrained()
    return {f"{architecture}/{tag}": get_pretrained_cfg(architecture, tag) for architecture, tag in pairs}


def _no_such_name(name: str, known: list[str]) -> str:
    architecture = name.rpartition("/")[0] or name
    same = [other for other in known if other.rpartition("/")[0] == architecture]
    if same:
        return f"name the weights too, one of {', '.join(same)}"
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    hint = f"; the closest known names are {', '.join(close)}" if close else ""
    return f"neither an open_clip directory nor a name of the form ARCHITECTURE/TAG or {HUB_PREFIX}ORG/NAME{hint}"


def _tokenizer_folder(model_cfg: dict[str, Any], hub: Hub, *, here: Path | None = None) -> Path | None:
    """Where the Hugging Face tokenizer's files are; None for open_clip's own tokenizer."""
    repo = model_cfg["text_cfg"].get("hf_tokenizer_name")
    if not repo:
        return None
    if importlib.util.find_spec("transformers") is None:
        raise ModelUnavailable("its tokenizer needs another package: pip install transformers")
    return here or [hub.fetch(repo, file) for file in ("tokenizer_config.json", "tokenizer.json")][-1].parent


def build_model(checkpoint: Checkpoint) -> LoadedModel:
    """The model out of the files found. Raises ModelUnavailable naming the file that does not fit."""
    try:
        model = _construct(checkpoint.model_cfg)
        tokenizer = _tokenizer(checkpoint)
        preprocess = PreprocessCfg(**{**checkpoint.preprocess_cfg, "size": (*to_2tuple(model.visual.image_size),)})
        preprocessing = _preprocessing(preprocess)
    except _UNFIT as error:
        raise ModelUnavailable(f"{checkpoint.name}: its configuration makes no model: {_short(error)}") from error
    _load_weights(model, checkpoint.weights)
    identity = EncoderIdentity(
        model=checkpoint.name,
        architecture=_architecture(checkpoint.model_cfg),
        weights_digest=_digest(checkpoint.weights),
        dim=checkpoint.model_cfg["embed_dim"],
        preprocessing=preprocessing,
    )
    return LoadedModel(model.eval(), tokenizer, preprocess, identity)


def _construct(model_cfg: dict[str, Any]) -> Any:
    """The towers with random weights: what open_clip's factory does between reading a configuration and weights."""
    cfg = copy.deepcopy(model_cfg)
    cfg["vision_cfg"]["timm_model_pretrained"] = cfg["text_cfg"]["hf_model_pretrained"] = False
    custom_text = cfg.pop("custom_text", False) or cfg["text_cfg"].get("hf_model_name")
    if not custom_text:
        return open_clip.CLIP(**cfg)
    return open_clip.CoCa(**cfg) if "multimodal_cfg" in cfg else open_clip.CustomTextCLIP(**cfg)


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    text_cfg = checkpoint.model_cfg["text_cfg"]
    options = {"context_length": text_cfg.get("context_length", 77), **(text_cfg.get("tokenizer_kwargs") or {})}
    own: Tokenizer | None = None if checkpoint.tokenizer else SimpleTokenizer(**options)
    return own or HFTokenizer(str(checkpoint.tokenizer), tokenizer_mode=text_cfg.get("tokenizer_mode"), **options)


def _load_weights(model: Any, path: Path) -> None:
    try:
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, StopIteration, *_UNFIT) as error:
        raise ModelUnavailable(f"{path} is damaged or does not fit its configuration: {_short(error)}") from error


def _short(error: BaseException) -> str:
    return textwrap.shorten(str(error) or repr(error), 300, placeholder=" ...")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _architecture(model_cfg: dict[str, Any]) -> str:
    """What of the configuration decides the vectors, as canonical JSON: equal with defaults spelled out or not."""
    vision = _decisive(model_cfg["vision_cfg"], open_clip.CLIPVisionCfg())
    text = _decisive(model_cfg["text_cfg"], open_clip.CLIPTextCfg())
    values = {"dim": model_cfg["embed_dim"], "quick_gelu": bool(model_cfg.get("quick_gelu"))}
    return json.dumps({**values, "vision": vision, "text": text}, sort_keys=True)


def _decisive(cfg: dict[str, Any], defaults: Any) -> dict[str, Any]:
    training = {"patch_dropout", "timm_model_pretrained", "timm_drop", "timm_drop_path", "hf_model_pretrained"}
    return {key: value for key, value in cfg.items() if key not in training and value != getattr(defaults, key, ...)}


def _preprocessing(cfg: PreprocessCfg) -> str:
    colors = {"mean": [float(value) for value in cfg.mean], "std": [float(value) for value in cfg.std]}
    return json.dumps({**dataclasses.asdict(cfg), **colors}, sort_keys=True)
