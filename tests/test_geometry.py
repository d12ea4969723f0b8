"""Pictures prepared as open_clip's own steps do it, to a level or two: what is cropped away is not computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from search import preprocessing, resizing
from search.geometry import MOST_TIMES, Geometry, Size, geometry_of
from search.onnx_export import MOST_LEVELS

SIZES = [
    *((1, 1), (64, 64), (57, 40), (40, 57), (300, 61), (61, 300), (9, 200), (65, 67), (640, 481), (481, 640), (3, 2)),
    *((200, 400), (200, 430), (90, 800), (800, 90), (73, 72), (512, 512)),
]

Steps = Callable[[Image.Image], NDArray[np.uint8]]


def geometry_and_steps(cfg: dict[str, Any], size: tuple[int, int]) -> tuple[Geometry, Steps]:
    """What is tested, and open_clip's own."""
    *steps, _to_tensor, _normalize = preprocessing.transform(cfg, size).transforms

    def in_steps(picture: Any) -> NDArray[np.uint8]:
        for step in steps:
            picture = step(picture)
        return np.asarray(picture)

    return geometry_of(preprocessing.canonical(cfg, size)), in_steps


def painted(width: int, height: int, kind: str) -> Image.Image:
    """Noise, which has all there is to round, black and white dots, which overshoot most, or soft shapes."""
    rng = np.random.default_rng(2)
    if kind == "soft":
        return Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height))
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels if kind == "noise" else (pixels // 128 * 255).astype(np.uint8))


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
    geometry, in_steps = geometry_and_steps(cfg, size)
    assert (geometry.height, geometry.width) == size
    for width, height in SIZES:
        for kind in ("noise", "dots", "soft"):
            picture = painted(width, height, kind)
            apart = np.abs(geometry(picture).astype(int) - in_steps(picture))
            assert apart.max() <= MOST_LEVELS
            assert apart.mean() < (0.01 if geometry.filter is Image.Resampling.BICUBIC else 0.25)


@pytest.mark.parametrize("size", [(3, 300), (300, 3), (2, 200), (7, 226)], ids=str)
def test_what_is_seen_of_a_picture_like_a_thread_is_as_in_all_of_it(size: Size) -> None:
    geometry, in_steps = geometry_and_steps({}, (64, 64))
    picture = painted(*size, "soft")
    np.testing.assert_allclose(geometry(picture), in_steps(picture).astype(int), atol=MOST_LEVELS)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (3, 5_000)], ids=str)
def test_a_picture_like_a_thread_is_not_resized_whole(monkeypatch: pytest.MonkeyPatch, size: Size) -> None:
    """One of a hundred bytes would take gigabytes."""
    made: list[Size] = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, to, *how: made.append(to) or resize(image, to, *how))
    geometry, _ = geometry_and_steps({}, (64, 64))
    assert geometry(painted(*size, "noise")).shape == (64, 64, 3)
    assert [max(one) for one in made] == [64 * MOST_TIMES]


@pytest.mark.parametrize("missing", ["the resizer", "memory for a copy"])
def test_pillow_resizes_where_the_faster_one_cannot(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "the resizer":
        monkeypatch.setattr(resizing, "FILTERS", {})
    else:
        monkeypatch.setattr(resizing, "MOST_PIXELS", 640 * 480)
    geometry, in_steps = geometry_and_steps({}, (64, 64))
    picture = painted(640, 481, "noise")
    np.testing.assert_array_equal(geometry(picture), in_steps(picture))


def test_what_is_cropped_away_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    make = resizing._pass
    monkeypatch.setattr(resizing, "_pass", lambda *given: sizes.append(given[1]) or make(*given))
    geometry, in_steps = geometry_and_steps({}, (64, 64))
    for width, height in ((640, 160), (200, 700)):
        picture = painted(width, height, "noise")
        assert np.abs(geometry(picture).astype(int) - in_steps(picture)).max() <= MOST_LEVELS
    assert sizes == [(64, 160), (64, 64), (200, 64), (64, 64)]


@pytest.mark.parametrize(
    ("cfg", "size", "reason"),
    [({"resize_mode": "longest"}, (64, 64), "resize_mode is longest"), ({}, (64, 48), "crops to 64 x 48")],
    ids=str,
)
def test_what_is_done_in_other_steps_is_refused(cfg: dict[str, Any], size: tuple[int, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        geometry_of(preprocessing.canonical(cfg, size))
