"""Pictures prepared by Pillow alone as open_clip's own steps do it, but for what is cropped away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from search import preprocessing
from search.geometry import geometry_of
from search.onnx_export import MOST_LEVELS

SIZES = [(1, 1), (64, 64), (57, 40), (40, 57), (300, 61), (61, 300), (9, 200), (65, 67), (640, 481), (3, 2)]


@pytest.mark.parametrize(
    ("cfg", "size"),
    [
        ({}, (64, 64)),
        ({"interpolation": "bilinear"}, (48, 48)),
        ({"resize_mode": "squash", "interpolation": "bilinear"}, (64, 48)),
        ({"resize": 72}, (64, 64)),
        ({"resize": 71, "crop": "floor"}, (64, 64)),
        ({"resize": 72}, (64, 48)),
        ({"resize": 72, "resize_mode": "longest"}, (64, 64)),
    ],
    ids=str,
)
def test_pixels_are_those_of_open_clip_but_for_roundings(cfg: dict[str, Any], size: tuple[int, int]) -> None:
    *steps, _to_tensor, _normalize = preprocessing.transform(cfg, size).transforms
    geometry = geometry_of(preprocessing.canonical(cfg, size))
    assert (geometry.height, geometry.width) == size
    rng = np.random.default_rng(2)
    for width, height in SIZES:
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected: Any = picture
        for step in steps:
            expected = step(expected)
        apart = np.abs(geometry(picture).astype(int) - np.asarray(expected))
        assert apart.max() <= MOST_LEVELS
        assert apart.mean() < 0.01
        assert width > height or not apart.any()


@pytest.mark.parametrize(
    ("cfg", "size", "reason"),
    [({"resize_mode": "longest"}, (64, 64), "resize_mode is longest"), ({}, (64, 48), "crops to 64 x 48")],
    ids=str,
)
def test_what_is_done_in_other_steps_is_refused(cfg: dict[str, Any], size: tuple[int, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        geometry_of(preprocessing.canonical(cfg, size))
