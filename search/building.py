"""A checkpoint -> an open_clip model with its weights, its tokenizer and its preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.utils import to_2tuple
from torchvision.transforms import Compose

from search import preprocessing
from search.architectures import OPENAI_MARKS, canonical, construct, describe
from search.errors import ModelUnavailable
from search.formats import Checkpoint
from search.hugging_face import in_open_clip_names
from search.timm_tower import ImageTower
from search.types import EncoderIdentity
from search.weights import UNFIT, State, digest, read_weights, short

Tokenizer = Callable[[list[str]], torch.Tensor]

_POSITIONS = "text.transformer.embeddings.position_ids"


class Towers(Protocol):
    """What is used of an open_clip model; rows come out as the towers leave them, not unit length."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor: ...

    def encode_text(self, text: torch.Tensor) -> torch.Tensor: ...

    def to(self, device: torch.device) -> Towers: ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on the CPU in fp32, ready to encode. `transform` ends with making a tensor and normalizing it."""

    towers: Towers
    tokenizer: Tokenizer | None
    transform: Compose
    identity: EncoderIdentity


def build_model(checkpoint: Checkpoint) -> LoadedModel:
    """The model out of the files found. Raises ModelUnavailable naming the file that does not fit."""
    try:
        model = construct(checkpoint.model_cfg)
        tokenizer = None if isinstance(model, ImageTower) else _tokenizer(checkpoint)
        size = (*to_2tuple(model.visual.image_size),)
        transform = preprocessing.transform(checkpoint.preprocess_cfg, size)
    except UNFIT as error:
        raise ModelUnavailable(f"{checkpoint.name}: its configuration makes no model: {short(error)}") from error
    _load_weights(model, checkpoint.weights)
    identity = EncoderIdentity(
        model=checkpoint.name,
        architecture=canonical(checkpoint.model_cfg),
        weights_digest=digest(checkpoint.weights),
        dim=model.dim if isinstance(model, ImageTower) else checkpoint.model_cfg["embed_dim"],
        preprocessing=preprocessing.canonical(checkpoint.preprocess_cfg, size),
    )
    return LoadedModel(model.eval(), tokenizer, transform, identity)


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    text_cfg = checkpoint.model_cfg["text_cfg"]
    options = {"context_length": text_cfg.get("context_length", 77), **(text_cfg.get("tokenizer_kwargs") or {})}
    own: Tokenizer | None = None if checkpoint.tokenizer else SimpleTokenizer(**options)
    return own or HFTokenizer(str(checkpoint.tokenizer), tokenizer_mode=text_cfg.get("tokenizer_mode"), **options)


def _load_weights(model: Any, path: Path) -> None:
    state = read_weights(path)
    try:
        if isinstance(model, ImageTower):
            model.visual.load_state_dict(state)
        else:
            model.load_state_dict(_fitted(state, model))
    except UNFIT as error:
        found = describe(state)
        raise ModelUnavailable(f"{path} does not fit its configuration: it holds {found}: {short(error)}") from error


def _fitted(state: State, model: Any) -> State:
    """The weights under the model's names: what open_clip's load_checkpoint does between reading and loading."""
    if any(name.startswith("vision_model.") for name in state):
        return in_open_clip_names(state)
    # Archives hold the causal mask too, which the towers make themselves.
    ignored = {name for name in state if name in OPENAI_MARKS or name.endswith("attn_mask")} - model.state_dict().keys()
    state = {name: tensor for name, tensor in state.items() if name not in ignored}
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        if name in state:
            state[name] = state[name].reshape(getattr(model, name).shape)
    if model.logit_bias is not None:
        state.setdefault("logit_bias", torch.zeros_like(state["logit_scale"]))
    if not hasattr(model, _POSITIONS):
        state.pop(_POSITIONS, None)
    resize_pos_embed(state, model)
    resize_text_pos_embed(state, model)
    return state
