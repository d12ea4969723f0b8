"""transformers' CLIPModel: its configuration, preprocessing and names of weights -> those of open_clip."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import SimpleTokenizer

from search.weights import State

CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The names that transformers gives its files; the preferred weights first."""

VOCABULARIES = ("tokenizer.json", "vocab.json")

_LEGACY_EOS = 2
_PIL_FILTERS = {2: "bilinear", 3: "bicubic"}

# What transformers leaves out of a configuration when it is as usual.
_TOWER = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_VISION = {**_TOWER, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
_VISION |= {"image_size": 224, "patch_size": 32}
_TEXT = {**_TOWER, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8}
_TEXT |= {"vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 49407}

_NAMES = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^text_projection\.weight$", "text_projection"),
    (r"\.layer_norm1\.", ".ln_1."),
    (r"\.layer_norm2\.", ".ln_2."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
)
_QUERY = re.compile(r"(.*)\.self_attn\.q_proj\.(weight|bias)")


def model_cfg(config: dict[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of a config.json. Raises ValueError for what open_clip's towers cannot do."""
    vision = {**_VISION, **config.get("vision_config", {}), **(config.get("vision_config_dict") or {})}
    text = {**_TEXT, **config.get("text_config", {}), **(config.get("text_config_dict") or {})}
    if vision["hidden_act"] != text["hidden_act"]:
        raise ValueError(f"its towers differ in activation: {vision['hidden_act']} and {text['hidden_act']}")
    text_cfg = {
        **_tower_cfg(text),
        "heads": text["num_attention_heads"],
        "context_length": text["max_position_embeddings"],
        "vocab_size": text["vocab_size"],
    }
    # transformers, too, takes the largest token for the end where the configuration is of the time before it knew.
    if text["eos_token_id"] != _LEGACY_EOS:
        text_cfg |= {"pool_type": "eos", "eos_id": text["eos_token_id"]}
    vision_cfg = {
        **_tower_cfg(vision),
        "head_width": vision["hidden_size"] // vision["num_attention_heads"],
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
    }
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": vision["hidden_act"] == "quick_gelu",
        "vision_cfg": vision_cfg,
        "text_cfg": text_cfg,
    }


def _tower_cfg(tower: dict[str, Any]) -> dict[str, Any]:
    width, inner = tower["hidden_size"], tower["intermediate_size"]
    # open_clip rounds width * ratio down; half a neuron keeps it from falling below.
    cfg = {"width": width, "layers": tower["num_hidden_layers"], "mlp_ratio": (inner + (inner % width > 0) / 2) / width}
    if tower["layer_norm_eps"] != _TOWER["layer_norm_eps"]:
        cfg["norm_kwargs"] = {"eps": tower["layer_norm_eps"]}
    if tower["hidden_act"] in ("gelu_new", "gelu_pytorch_tanh"):
        cfg["act_kwargs"] = {"approximate": "tanh"}
    elif tower["hidden_act"] not in ("quick_gelu", "gelu"):
        raise ValueError(f"its activation {tower['hidden_act']!r} is none of quick_gelu, gelu and gelu_pytorch_tanh")
    return cfg


def preprocess_cfg(config: dict[str, Any]) -> dict[str, Any]:
    """What a preprocessor_config.json, or the image_processor of a processor_config.json, says in open_clip's words.

    `resize` is the shorter side that pictures are resized to before they are cropped, `crop` how a crop is rounded.
    """
    config = config.get("image_processor", config)
    for step in ("do_resize", "do_rescale", "do_normalize"):
        if config.get(step) is False:
            raise ValueError(f"it turns {step} off")
    if config.get("resample", 3) not in _PIL_FILTERS:
        raise ValueError(f"its resample is {config['resample']}; only 2 (bilinear) and 3 (bicubic) are known")
    cfg = {"interpolation": _PIL_FILTERS[config.get("resample", 3)]}
    cfg |= {short: config[long] for short, long in (("mean", "image_mean"), ("std", "image_std")) if long in config}
    size = config.get("size", 224)
    if isinstance(size, dict) and "height" in size:
        return {**cfg, "resize_mode": "squash"}
    if config.get("do_center_crop") is False:
        raise ValueError("it neither crops nor squashes pictures to one shape")
    return {**cfg, "resize": size["shortest_edge"] if isinstance(size, dict) else size, "crop": "floor"}


def in_open_clip_names(state: State) -> State:
    """The same weights as open_clip lays them out: one matrix for query, key and value, projections turned."""
    renamed: State = {}
    for name, tensor in state.items():
        if name.endswith(".position_ids") or re.search(r"\.self_attn\.[kv]_proj\.", name):
            continue
        if found := _QUERY.match(name):
            block, kind = found.groups()
            parts = [state[f"{block}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            renamed[_renamed(f"{block}.attn.in_proj_{kind}")] = torch.cat(parts)
        else:
            renamed[_renamed(name)] = tensor.T if name.endswith("_projection.weight") else tensor
    return renamed


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def is_clips_vocabulary(file: Path | None, vocab_size: int) -> bool:
    """Whether a tokenizer.json or vocab.json, or the number of tokens alone, is that of open_clip's own tokenizer."""
    clips: dict[str, int] = SimpleTokenizer().encoder
    if file is None:
        return len(clips) == vocab_size
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content
    if file.name == "tokenizer.json":
        vocabulary = content["model"]["vocab"] | {token["content"]: token["id"] for token in content["added_tokens"]}
    # Begin and end, the last two, go by other names there.
    words = {token: number for token, number in clips.items() if number < len(clips) - 2}
    return len(vocabulary) == len(clips) and words.items() <= vocabulary.items()
