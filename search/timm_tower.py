"""timm's config.json -> an image tower without a text tower, and its preprocessing."""

from __future__ import annotations

import math
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config


class ImageTower(torch.nn.Module):
    """A timm model in the place of two towers; what it puts out is the image's embedding, (n, dim)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        tower: Any = timm.create_model(
            config["architecture"],
            pretrained=False,
            pretrained_cfg=config["pretrained_cfg"],
            **config["model_args"],
        )
        tower.image_size = tuple(config["pretrained_cfg"]["input_size"][1:])
        self.visual = tower
        self.dim: int = tower.num_classes or tower.head_hidden_size

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.visual(image)
        return features


def tower_cfg(config: dict[str, Any]) -> dict[str, Any]:
    """What of a config.json makes the tower. Raises what a broken one raises."""
    pretrained = dict(config["pretrained_cfg"])
    classes = config.get("num_classes", pretrained.get("num_classes", 0))
    kept = ("input_size", "fixed_input_size", "first_conv", "classifier", "global_pool", "pool_size")
    return {
        "architecture": config["architecture"],
        "model_args": {"num_classes": classes, **(config.get("model_args") or {})},
        "pretrained_cfg": {key: pretrained[key] for key in kept if key in pretrained},
    }


def preprocess_cfg(config: dict[str, Any]) -> dict[str, Any]:
    """What timm does for evaluation, in open_clip's words; `resize` is the shorter side before the crop.

    Raises ValueError for what has no such words.
    """
    data = resolve_data_config(pretrained_cfg=config["pretrained_cfg"])
    cfg = {key: data[key] for key in ("mean", "std", "interpolation")}
    crop_mode, crop_pct = data["crop_mode"], data["crop_pct"]
    _, height, width = data["input_size"]
    if crop_mode == "squash" and crop_pct == 1:
        return {**cfg, "resize_mode": "squash"}
    if crop_mode != "center" or height != width:
        raise ValueError(f"its crop ({crop_mode}, {crop_pct:g}, {height} x {width}) is not known here")
    return {**cfg, "resize": math.floor(height / crop_pct)}
