"""A configuration -> towers with random weights; the shapes of weights -> the configuration that they are of."""

from __future__ import annotations

import copy
import json
from typing import Any

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict

from search.errors import ModelUnavailable
from search.timm_tower import ImageTower
from search.weights import State

OPENAI_MARKS = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives, and the state dicts saved from them, hold among the weights."""

_OPENAI_HEAD = 64
_HEADS = ("logit_scale", "logit_bias")
_TRAINING = {"patch_dropout", "timm_model_pretrained", "timm_drop", "timm_drop_path", "hf_model_pretrained"}


def construct(model_cfg: dict[str, Any]) -> Any:
    """The towers with random weights: what open_clip's factory does between reading a configuration and weights."""
    if "timm" in model_cfg:
        return ImageTower(model_cfg["timm"])
    cfg = copy.deepcopy(model_cfg)
    cfg["vision_cfg"]["timm_model_pretrained"] = cfg["text_cfg"]["hf_model_pretrained"] = False
    custom_text = cfg.pop("custom_text", False) or cfg["text_cfg"].get("hf_model_name")
    if not custom_text:
        return open_clip.CLIP(**cfg)
    return open_clip.CoCa(**cfg) if "multimodal_cfg" in cfg else open_clip.CustomTextCLIP(**cfg)


def canonical(model_cfg: dict[str, Any]) -> str:
    """What of the configuration decides the vectors, as canonical JSON: equal with defaults spelled out or not."""
    if "timm" in model_cfg:
        return json.dumps({"timm": model_cfg["timm"]}, sort_keys=True)
    vision = _decisive(model_cfg["vision_cfg"], open_clip.CLIPVisionCfg())
    text = _decisive(model_cfg["text_cfg"], open_clip.CLIPTextCfg())
    values = {"dim": model_cfg["embed_dim"], "quick_gelu": bool(model_cfg.get("quick_gelu"))}
    return json.dumps({**values, "vision": vision, "text": text}, sort_keys=True)


def _decisive(cfg: dict[str, Any], defaults: Any) -> dict[str, Any]:
    return {key: value for key, value in cfg.items() if key not in _TRAINING and value != getattr(defaults, key, ...)}


def openai_cfg(state: State) -> dict[str, Any]:
    """The configuration of OpenAI's weights: QuickGELU, heads of 64. Raises LookupError where a weight is missing."""
    width = state["ln_final.weight"].shape[0]
    context_length, vocab_size = state["positional_embedding"].shape[0], state["token_embedding.weight"].shape[0]
    return {
        "embed_dim": state["text_projection"].shape[1],
        "quick_gelu": True,
        "vision_cfg": _vit_cfg(state) if "visual.proj" in state else _resnet_cfg(state),
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": vocab_size,
            "width": width,
            "heads": max(width // _OPENAI_HEAD, 1),
            "layers": _count(state, "transformer.resblocks."),
        },
    }


def _vit_cfg(state: State) -> dict[str, Any]:
    width, _, _, patch_size = state["visual.conv1.weight"].shape
    grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    layers = _count(state, "visual.transformer.resblocks.")
    return {"layers": layers, "width": width, "patch_size": patch_size, "image_size": patch_size * grid}


def _resnet_cfg(state: State) -> dict[str, Any]:
    grid = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    layers = [_count(state, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)]
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    return {"layers": layers, "width": width, "patch_size": None, "image_size": 32 * grid}


def _count(state: State, prefix: str) -> int:
    return len({name.removeprefix(prefix).partition(".")[0] for name in state if name.startswith(prefix)})


def named_by_shapes(state: State) -> str:
    """The name of open_clip's only architecture that these weights fit. Raises ModelUnavailable for none or several."""
    found: dict[str, str] = {}
    for name in open_clip.list_models():
        cfg = open_clip.get_model_config(name)
        if _may_fit(state, cfg["text_cfg"]) and _fits(state, cfg):
            found.setdefault(canonical(cfg), name)
    if any(name.startswith(("vision_model.", "text_model.")) for name in state):
        raise ModelUnavailable("it holds weights of transformers; give the directory with its config.json")
    if not found:
        raise ModelUnavailable(f"it holds {describe(state)}, which is none of open_clip's architectures")
    if len(found) > 1:
        names = ", ".join(sorted(found.values()))
        raise ModelUnavailable(f"its shapes fit several architectures; say which: ARCHITECTURE@FILE, one of {names}")
    return next(iter(found.values()))


def misfit(state: State, model_cfg: dict[str, Any]) -> str | None:
    """The first weight of another shape than the architecture has; open_clip would resize some of them unasked."""
    if model_cfg["text_cfg"].get("hf_model_name"):
        return None
    with torch.device("meta"):
        expected = _shapes(construct(model_cfg).state_dict())
    given = _shapes(state)
    return next((name for name in given if expected.get(name, given[name]) != given[name]), None)


def _may_fit(state: State, text_cfg: dict[str, Any]) -> bool:
    """Whether the text tower's embeddings fit; spares the construction of most architectures."""
    embedding = state.get("token_embedding.weight", state.get("text.token_embedding.weight"))
    if embedding is None or text_cfg.get("hf_model_name"):
        return False
    defaults = open_clip.CLIPTextCfg()
    return tuple(embedding.shape) == tuple(text_cfg.get(k, getattr(defaults, k)) for k in ("vocab_size", "width"))


def _fits(state: State, model_cfg: dict[str, Any]) -> bool:
    with torch.device("meta"):
        expected = construct(model_cfg).state_dict()
    given = state if "positional_embedding" in expected else convert_to_custom_text_state_dict(state)
    return _shapes(given) == _shapes(expected)


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items() if name not in _HEADS}


def describe(state: State) -> str:
    """What weights are of, in words."""
    try:
        cfg = openai_cfg(state)
    except (LookupError, ValueError):
        some = ", ".join(sorted(state)[:3])
        return f"{len(state)} tensors such as {some}"
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    kind = f"patch {vision['patch_size']}" if vision["patch_size"] else "a ResNet"
    return (
        f"an image tower of {vision['layers']} layers of width {vision['width']}, {kind}, "
        f"{vision['image_size']} pixels, "
        f"a text tower of {text['layers']} layers of width {text['width']}, and vectors of {cfg['embed_dim']}"
    )
