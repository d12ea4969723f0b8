"""The canonical text of a preprocessing -> a picture's pixels for the image tower.

What open_clip and torchvision do to a picture before it becomes a tensor, without importing them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_TIMES = 32
"""How often the longer side of a picture has the shorter one, as far as models are shown it."""

Size = tuple[int, int]
"""Width and height in pixels."""

Corner = Callable[[Size, Size], tuple[int, int]]
"""The size of a picture, and that of the part in its middle -> where this begins, from the left and the top."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A picture becomes `width` x `height` pixels; with a `resize` its shorter side gets that, and it is cropped."""

    width: int
    height: int
    filter: Image.Resampling
    resize: int | None
    corner: Corner

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """An upright RGB picture as (height, width, 3)."""
        taken = whole = (self.width, self.height)
        if self.resize is not None:
            image = without_ends(image)
            whole = _with_shorter_side(image.size, self.resize)
        left, top = self.corner(whole, taken)
        part = (left, top, left + self.width, top + self.height)
        if image.size == whole:
            return np.array(image.crop(part))
        from search.resizing import resized  # a query in words needs none of it

        return resized(image, whole, part, self.filter)


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
        corner=floor_corner if cfg.get("crop") == "floor" else _rounded_corner,
    )


def without_ends(image: Image.Image) -> Image.Image:
    """The middle of a picture that is longer than MOST_TIMES its other side.

    Of it no more than a square is seen, and resized whole a picture of 1 x 20,000 pixels would take 4 GB.
    """
    most = MOST_TIMES * min(image.size)
    if max(image.size) <= most:
        return image
    left, top = ((side - min(side, most)) // 2 for side in image.size)
    return image.crop((left, top, left + min(image.width, most), top + min(image.height, most)))


def squashes(preprocessing: str) -> bool:
    """Whether all of a picture becomes the tower's input, whatever its proportions."""
    cfg = json.loads(preprocessing)
    return bool(cfg["resize_mode"] == "squash" and "resize" not in cfg)


def _with_shorter_side(size: Size, shorter: int) -> Size:
    """torchvision rounds the longer side down."""
    width, height = size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _rounded_corner(whole: Size, taken: Size) -> tuple[int, int]:
    """torchvision's CenterCrop: half a pixel goes to the even side."""
    return round((whole[0] - taken[0]) / 2), round((whole[1] - taken[1]) / 2)


def floor_corner(whole: Size, taken: Size) -> tuple[int, int]:
    """transformers' crop: half a pixel stays at the far side."""
    return (whole[0] - taken[0]) // 2, (whole[1] - taken[1]) // 2
