"""A loaded picture in any of Pillow's modes -> upright RGB on white."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from typing import cast

from PIL import Image, ImageCms

from search.errors import BadPicture

_WHITES = {
    "I;16": (4095, 65535),
    "I;16L": (4095, 65535),
    "I;16B": (4095, 65535),
    "I;16N": (4095, 65535),
    "I": (255, 4095, 65535),
    "F": (1, 255, 4095, 65535),
}
"""Deep gray modes -> the values that may stand for white; sensors of 12 bits are common in files of 16."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations under which width and height change places."""


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture upright, for an EXIF orientation of 1 to 8."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def rgb_of(image: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB, on white paper where it is transparent. An RGB picture is returned as it is."""
    if image.mode in _WHITES:
        return _eight_bits(image).convert("RGB")
    if image.mode == "CMYK":
        return _rgb_of_cmyk(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(layer, mask=layer)
        return paper
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A deep gray picture as "L", scaled from the range of its mode, or from its own extremes if they lie outside."""
    deep = image.convert("F")
    low, high = cast("tuple[float, float]", deep.getextrema())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadPicture("pixel values that are not finite")
    black, white = low, high
    if low >= 0:
        black, white = 0, next((white for white in _WHITES[image.mode] if high <= white), high)
    scale = 255 / (white - black or 1)
    return deep.point(lambda value: value * scale + (0.5 - black * scale)).convert("L")


def _rgb_of_cmyk(image: Image.Image) -> Image.Image:
    """By the picture's ink profile where it has a valid one: without, inks become garish."""
    profile = image.info.get("icc_profile")
    if profile:
        with suppress(ImageCms.PyCMSError):
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
            if converted:
                return converted
    return image.convert("RGB")
