"""Pictures to measure with, each with a content of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = (1024, 768)
LARGE = (4000, 3000)


def make_pictures(folder: Path, count: int, size: tuple[int, int], formats: Sequence[str], *, seed: int) -> None:
    """Write `count` pictures of this (width, height): soft shapes under some grain, which weigh what photographs do.

    They take turns in the `formats`, which are suffixes.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        suffix = formats[number % len(formats)]
        picture(random, size).save(folder / f"{number:05d}.{suffix}", quality=90)


def picture(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    detail = Image.fromarray(random.integers(96, 160, (size[1] // 3, size[0] // 3, 3), np.uint8))
    return Image.blend(shapes, detail.resize(size, Image.Resampling.BILINEAR), 0.2)


def make_sets(scratch: Path, count: int) -> dict[str, Path]:
    """Small JPEGs, a quarter as many in other formats, and as many large JPEGs: folders by their names."""
    few = max(1, count // 4)
    sets = {
        "JPEG": (count, SMALL, ("jpg",)),
        "PNG, WebP": (few, SMALL, ("png", "webp")),
        "12 megapixels": (few, LARGE, ("jpg",)),
    }
    for seed, (name, (some, size, formats)) in enumerate(sets.items()):
        make_pictures(scratch / name, some, size, formats, seed=seed)
    return {name: scratch / name for name in sets}
