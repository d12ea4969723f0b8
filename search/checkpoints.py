"""A model's name -> its files on this machine and its configuration, whichever library wrote them.

Finding is all that may touch the network; building reads the files that were found and nothing else.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from search import hugging_face
from search.architectures import OPENAI_MARKS, describe, misfit, named_by_shapes, openai_cfg
from search.errors import ModelUnavailable
from search.formats import Checkpoint, of_config, read_open_clip, require_transformers
from search.model_files import damage_of, named_path
from search.models import BUNDLED, CONFIG_FILE, HUB_PREFIX, WEIGHTS_FILES, Hub, local_models
from search.settings import BUNDLED_MODEL
from search.torchscript import is_torchscript
from search.weights import read_weights

_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth"}


def find_checkpoint(
    name: str, *, models: Path | None = None, hub: Hub | None = None, bundled: Path = BUNDLED_MODEL
) -> Checkpoint:
    """The files of a model, downloaded when they are neither here nor in the hub's cache.

    `name` is "bundled", "hf-hub:org/name", a folder in `models`, a directory, a weights file, "ARCHITECTURE@FILE" where
    the shapes of the weights do not tell, or "architecture/tag" out of open_clip's registry. Raises ModelUnavailable
    with the reason and the ways out.
    """
    hub = hub or Hub()
    try:
        if name == BUNDLED:
            return _bundled(bundled, hub)
        if path := named_path(name, models=models):
            return _in_directory(path, hub) if path.is_dir() else _in_file(path, hub)
        if name.startswith(HUB_PREFIX):
            return _on_hub(name, hub)
        return _of_said_architecture(name, hub) if "@" in name else _in_registry(name, hub)
    except ModelUnavailable as error:
        here = ", ".join(local_models(models=models, hub=hub, bundled=bundled)) or "none"
        place = f" (folders in {models} go by their names)" if models else ""
        raise ModelUnavailable(f"{name}: {error}\nModels on this machine: {here}{place}.") from error


def published_dim(name: str) -> int | None:
    """How many dimensions the vectors of a published model have, None where only the hub knows. Nothing is fetched.

    Raises ModelUnavailable for a name that is neither in open_clip's registry nor one of the hub.
    """
    if name.startswith(HUB_PREFIX):
        return None
    registry = _registry()
    if name not in registry:
        raise ModelUnavailable(f"{name}: {_no_such_name(name, list(registry))}")
    return int(open_clip.get_model_config(name.rpartition("/")[0])["embed_dim"])


def _in_directory(folder: Path, hub: Hub) -> Checkpoint:
    if not folder.is_dir():
        raise ModelUnavailable(f"{folder} is no directory with a configuration and weights")
    folder = folder.resolve()
    if (folder / CONFIG_FILE).is_file():
        model_cfg, preprocess_cfg = read_open_clip(folder / CONFIG_FILE)
        tokenizer = _tokenizer_folder(model_cfg, hub, here=folder)
        return Checkpoint(str(folder), model_cfg, preprocess_cfg, _weights_in(folder), tokenizer)
    if (folder / hugging_face.CONFIG).is_file():
        return of_config(
            str(folder),
            folder / hugging_face.CONFIG,
            lambda *names: next((folder / name for name in names if (folder / name).is_file()), None),
        )
    if len(weights := _all_weights_in(folder)) == 1:
        return dataclasses.replace(_in_file(weights[0], hub), name=str(folder))
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise ModelUnavailable(f"{folder} holds no {CONFIG_FILE}, no config.json and not one weights file (found: {found})")


def _bundled(folder: Path, hub: Hub) -> Checkpoint:
    checkpoint = _in_directory(folder, hub)
    if damage := damage_of(folder):
        raise ModelUnavailable(f"{damage}: fetch it again as it comes with the project")
    return dataclasses.replace(checkpoint, name=BUNDLED)


def _weights_in(folder: Path) -> Path:
    """The weights file that open_clip's names prefer, or the only one there is."""
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    found = _all_weights_in(folder)
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise ModelUnavailable(f"{folder} must hold one weights file, named {' or '.join(WEIGHTS_FILES)} (found: {names})")


def _all_weights_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)


def _in_file(path: Path, hub: Hub) -> Checkpoint:
    """A weights file alone: OpenAI's, which says so, or of the only architecture that it fits."""
    path = path.resolve()
    state = read_weights(path)
    if is_torchscript(path) or state.keys() >= set(OPENAI_MARKS):
        try:
            model_cfg = openai_cfg(state)
        except (LookupError, ValueError) as error:
            raise ModelUnavailable(f"{path} is none of OpenAI's models: it holds {describe(state)}") from error
        return Checkpoint(str(path), model_cfg, merge_preprocess_dict(PreprocessCfg(), {}), path)
    return _of_architecture(named_by_shapes(state), path, hub, name=str(path))


def _of_said_architecture(name: str, hub: Hub) -> Checkpoint:
    """ARCHITECTURE@FILE."""
    architecture, _, file = name.partition("@")
    if architecture not in open_clip.list_models():
        close = _closest(architecture, open_clip.list_models())
        raise ModelUnavailable(f"open_clip has no architecture {architecture!r}{close}")
    path = Path(file).resolve()
    if not path.is_file():
        raise ModelUnavailable(f"there is no file {path}")
    state = read_weights(path)
    if weight := misfit(state, open_clip.get_model_config(architecture)):
        shape = tuple(state[weight].shape)
        raise ModelUnavailable(f"{path} is no {architecture}: {weight} is {shape}; it holds {describe(state)}")
    return _of_architecture(architecture, path, hub, name=f"{architecture}@{path}")


def _of_architecture(architecture: str, path: Path, hub: Hub, *, name: str) -> Checkpoint:
    model_cfg = open_clip.get_model_config(architecture)
    tokenizer = _tokenizer_folder(model_cfg, hub)
    return Checkpoint(name, model_cfg, _published_preprocess_cfg(architecture), path, tokenizer)


def _published_preprocess_cfg(architecture: str) -> dict[str, Any]:
    """The preprocessing that all weights published for an architecture share, or else open_clip's default."""
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    default: dict[str, Any] = merge_preprocess_dict(PreprocessCfg(), {})
    cfgs = [merge_preprocess_dict(default, get_pretrained_cfg(architecture, tag)) for tag in tags]
    return cfgs[0] if cfgs and all(cfg == cfgs[0] for cfg in cfgs) else default


def _on_hub(name: str, hub: Hub) -> Checkpoint:
    repo = name.removeprefix(HUB_PREFIX)
    config = _config_on_hub(repo, hub)
    if config.name == hugging_face.CONFIG:
        return of_config(name, config, lambda *names: hub.find(repo, *names))
    model_cfg, preprocess_cfg = read_open_clip(config)
    if repo in {entry["hf_hub"].rpartition("/")[0] for entry in _registry().values() if entry.get("quick_gelu")}:
        model_cfg["quick_gelu"] = True
    tokenizer = _tokenizer_folder(model_cfg, hub)
    return Checkpoint(name, model_cfg, preprocess_cfg, hub.fetch(repo, *WEIGHTS_FILES), tokenizer)


def _config_on_hub(repo: str, hub: Hub) -> Path:
    """open_clip's configuration before another library's; a cached one serves where the hub cannot be asked."""
    cached = hub.cached(repo, CONFIG_FILE) or hub.cached(repo, hugging_face.CONFIG)
    if cached and (cached.name == CONFIG_FILE or hub.problem()):
        return cached
    return hub.find(repo, CONFIG_FILE) or hub.fetch(repo, CONFIG_FILE, hugging_face.CONFIG)


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
    return f"neither a path nor a name of the form ARCHITECTURE/TAG or {HUB_PREFIX}ORG/NAME{_closest(name, known)}"


def _closest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    return f"; the closest known names are {', '.join(close)}" if close else ""


def _tokenizer_folder(model_cfg: dict[str, Any], hub: Hub, *, here: Path | None = None) -> Path | None:
    """Where the Hugging Face tokenizer's files are; None for open_clip's own tokenizer."""
    repo = model_cfg["text_cfg"].get("hf_tokenizer_name")
    if not repo:
        return None
    require_transformers()
    return here or [hub.fetch(repo, file) for file in ("tokenizer_config.json", "tokenizer.json")][-1].parent
