"""A preprocessing configuration -> the steps from a picture to the image tower's input, and their canonical text.

The configuration is open_clip's, with two words more: `resize`, the shorter side that pictures get before they are
cropped (else the size of the crop), and `crop`: "floor" leaves the odd pixel at the far side, as transformers does, and
does not round it to the even side, as torchvision does.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL.Image import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from search.geometry import floor_corner

_OURS = ("resize", "crop")


class FloorCrop:
    """The middle of a picture that is at least this (height, width) large."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.height, self.width = size

    def __call__(self, image: Image) -> Image:
        left, top = floor_corner(image.size, (self.width, self.height))
        return image.crop((left, top, left + self.width, top + self.height))


def transform(cfg: dict[str, Any], size: tuple[int, int]) -> Compose:
    """The steps for pictures of (height, width) `size`: on the picture, to the tensor, and last the normalization."""
    theirs = PreprocessCfg(**{**{key: value for key, value in cfg.items() if key not in _OURS}, "size": size})
    steps = image_transform_v2(theirs, is_train=False)
    if "resize" in cfg:
        if cfg["resize"] < max(size):
            raise ValueError(f"it resizes to {cfg['resize']}, less than the {max(size)} that it crops")
        crop = FloorCrop(size) if cfg.get("crop") == "floor" else CenterCrop(size)
        steps.transforms[:2] = [Resize(cfg["resize"], InterpolationMode(theirs.interpolation)), crop]
    return steps


def canonical(cfg: dict[str, Any], size: tuple[int, int]) -> str:
    """The preprocessing as canonical JSON: equal with defaults spelled out or not."""
    values = {**dataclasses.asdict(PreprocessCfg()), **cfg, "size": size}
    colors = {key: [float(value) for value in values[key]] for key in ("mean", "std")}
    return json.dumps({**values, **colors}, sort_keys=True)
