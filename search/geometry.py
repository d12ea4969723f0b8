"""The canonical text of a preprocessing -> a picture's pixels for the image tower, by Pillow alone.

What open_clip and torchvision do to a picture before it becomes a tensor, pixel by pixel, without importing them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Crop = Callable[[Image.Image, int, int], Image.Image]


@dataclass(frozen=True, slots=True)
class Geometry:
    """A picture becomes `width` x `height` pixels; with a `resize` its shorter side gets that, and it is cropped."""

    width: int
    height: int
    filter: Image.Resampling
    resize: int | None
    crop: Crop

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """An upright RGB picture as (height, width, 3)."""
        if self.resize is None:
            return np.array(_resized(image, (self.width, self.height), self.filter))
        size = _with_shorter_side(image.size, self.resize)
        return np.array(self.crop(_resized(image, size, self.filter), self.width, self.height))


def geometry_of(preprocessing: str) -> Geometry:
    """Of `EncoderIdentity.preprocessing`. Raises ValueError for what is done in no such steps."""
    cfg = json.loads(preprocessing)
    height, width = cfg["size"]
    crops = cfg["resize_mode"] == "shortest" or "resize" in cfg
    if not crops and cfg["resize_mode"] != "squash":
        raise ValueError(f"its resize_mode is {cfg['resize_mode']}")
    if crops and height != width and "resize" not in cfg:
        raise ValueError(f"it crops to {height} x {width}, which is no square")
    return Geometry(
        width=width,
        height=height,
        filter=Image.Resampling[cfg["interpolation"].upper()],
        resize=cfg.get("resize", width) if crops else None,
        crop=floor_crop if cfg.get("crop") == "floor" else _center_crop,
    )


def _resized(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, resampling)


def _with_shorter_side(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """torchvision rounds the longer side down."""
    width, height = size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """torchvision's CenterCrop: half a pixel goes to the even side."""
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def floor_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """transformers' crop: half a pixel stays at the far side."""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
