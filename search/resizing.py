"""A picture, resized -> the pixels of a part of it: as Pillow computes them, several times as fast where it shrinks.

`cykooz_resizer` adds up the same products in 16 bits, with the vector instructions of the processor. In Pillow's order
of the passes one value in a hundred becomes another by a level, rarely by two. Some pictures go through Pillow itself:
very large ones, for it takes copies of their pixels; those that grow, which are small and cost nothing; and all on
Linux on ARM, for which it has no wheels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from search.geometry import Size

try:
    from cykooz_resizer import CropBox, FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
except ModuleNotFoundError:  # pyproject.toml says where
    FILTERS = {}
else:
    FILTERS = {
        Image.Resampling.BICUBIC: ResizeAlg.convolution(FilterType.catmull_rom),
        Image.Resampling.BILINEAR: ResizeAlg.convolution(FilterType.bilinear),
        Image.Resampling.LANCZOS: ResizeAlg.convolution(FilterType.lanczos3),
    }

MOST_PIXELS = 4_000_000
"""Two copies are 24 MB. A JPEG that is decoded at a fraction of its size for a model has fewer pixels."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


def resized(image: Image.Image, whole: Size, part: Box, resampling: Image.Resampling) -> NDArray[np.uint8]:
    """(height, width, 3): what lies in `part` of an RGB picture resized to `whole`."""
    if resampling in FILTERS and _shrinks(image.size, whole):
        return _shrunk(image, whole, part, resampling)
    return np.array(image.resize(whole, resampling).crop(part))


def _shrinks(size: Size, whole: Size) -> bool:
    """On both sides, from a size of which copies may be made, and in passes whose order is known."""
    (width, height), (to_width, to_height) = size, whole
    in_order = width >= height or to_height == int(to_width * height / width)
    return in_order and to_width <= width and to_height <= height and width * height <= MOST_PIXELS


def _shrunk(image: Image.Image, whole: Size, part: Box, resampling: Image.Resampling) -> NDArray[np.uint8]:
    """Rows first, as Pillow does, but for pictures twice as tall as wide; nothing is computed but what is seen."""
    width, height = image.size
    to_width, to_height = part[2] - part[0], part[3] - part[1]
    left, seen_width = _seen(part[0], part[2], width, whole[0])
    top, seen_height = _seen(part[1], part[3], height, whole[1])
    pixels = ImageData(width, height, PixelType.U8x3, image.tobytes())
    if height > 2 * width:
        pixels = _pass(pixels, (width, to_height), CropBox(0, top, width, seen_height), resampling)
        pixels = _pass(pixels, (to_width, to_height), CropBox(left, 0, seen_width, to_height), resampling)
    else:
        pixels = _pass(pixels, (to_width, height), CropBox(left, 0, seen_width, height), resampling)
        pixels = _pass(pixels, (to_width, to_height), CropBox(0, top, to_width, seen_height), resampling)
    return np.frombuffer(pixels.get_buffer(), np.uint8).reshape(to_height, to_width, 3)


def _seen(start: int, end: int, pixels: int, whole: int) -> tuple[float, float]:
    """Where in so many pixels a part of the `whole` begins, and how many it takes; no rounding leads out of them."""
    first = start * pixels / whole
    return first, math.nextafter(min(end * pixels / whole, pixels) - first, 0)


def _pass(pixels: ImageData, size: Size, seen: CropBox, resampling: Image.Resampling) -> ImageData:
    made = ImageData(*size, PixelType.U8x3)
    Resizer().resize(pixels, made, ResizeOptions(FILTERS[resampling], crop_box=seen))
    return made
