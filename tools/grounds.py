"""The ground of a scene -> pixels: plain colors, patterns and places, each a short formula of x and y."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.scenes import RGB, Ground

Floats = NDArray[np.floating]


def paint_ground(ground: Ground, pixels: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """(pixels, pixels, 3), with a faint unevenness like that of paper or sky."""
    canvas: Floats = _PAINTERS[ground.kind](ground, pixels) + _paper(pixels, random)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _paper(pixels: int, random: np.random.Generator) -> Floats:
    """Smooth light and shade of a few levels: (pixels, pixels, 1)."""
    coarse = Image.fromarray(random.normal(0, 5, (5, 5)).astype(np.float32))
    smooth: Floats = np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC))
    return smooth[..., None]


@lru_cache
def _axes(pixels: int) -> tuple[Floats, Floats]:
    """x to the right and y downwards, both (pixels, pixels) in (0, 1)."""
    line = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    x, y = np.meshgrid(line, line)
    return x, y


def _mix(first: RGB | Floats, second: RGB | Floats, share: Floats) -> Floats:
    """`share` (pixels, pixels) of the second in the first: (pixels, pixels, 3)."""
    start, end = np.asarray(first, np.float32), np.asarray(second, np.float32)
    mixed: Floats = start + share[..., None] * (end - start)
    return mixed


def _sharp(height: Floats, pixels: int) -> Floats:
    """1 where the height (in shares of the side) is above zero, 0 below, one pixel of slope between."""
    share: Floats = np.clip(height * pixels + 0.5, 0, 1)
    return share


def _count(ground: Ground, least: int) -> int:
    """One of four numbers from `least` up, by the ground's own turn."""
    return least + int(ground.turn * 1000) % 4


def _plain(ground: Ground, pixels: int) -> Floats:
    return np.tile(np.asarray(ground.rgb[0], np.float32), (pixels, pixels, 1))


def _gradient(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    angle = 2 * math.pi * ground.turn
    share = 0.5 + 0.75 * ((x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle))
    return _mix(ground.rgb[0], ground.rgb[1], np.clip(share, 0, 1))


def _stripes(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    angle, count = math.pi * round(4 * ground.turn) / 4, _count(ground, 4)
    wave = np.sin(2 * math.pi * count * (x * math.cos(angle) + y * math.sin(angle)))
    return _mix(ground.rgb[0], ground.rgb[1], _sharp(wave / (2 * math.pi * count), pixels))


def _dots(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    count = _count(ground, 4)
    row = np.floor(y * count)
    across, down = (x * count + 0.5 * (row % 2)) % 1 - 0.5, (y * count) % 1 - 0.5
    return _mix(ground.rgb[0], ground.rgb[1], _sharp((0.27 - np.hypot(across, down)) / count, pixels))


def _checks(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    count = _count(ground, 3)
    return _mix(ground.rgb[0], ground.rgb[1], (np.floor(x * count) + np.floor(y * count)) % 2)


def _hills(ground: Ground, pixels: int, sky: tuple[RGB, RGB], land: tuple[RGB, RGB], *, wave: float = 0.04) -> Floats:
    """A sky over a land, both shaded from their first color at the top to their second; the horizon waves."""
    x, y = _axes(pixels)
    horizon = 0.42 + 0.16 * ground.turn + wave * np.sin(2 * math.pi * (x + 3 * ground.turn))
    above, below = _mix(*sky, np.clip(y / horizon, 0, 1)), _mix(*land, np.clip((y - horizon) / (1 - horizon), 0, 1))
    return _mix(above, below, _sharp(y - horizon, pixels))


def _meadow(ground: Ground, pixels: int) -> Floats:
    return _hills(ground, pixels, ((110, 180, 240), (205, 232, 250)), ((120, 190, 80), (60, 140, 55)))


def _beach(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    shore = 0.6 + 0.1 * ground.turn + 0.025 * np.sin(9 * x + 6 * ground.turn)
    water = _hills(ground, pixels, ((120, 190, 240), (215, 236, 248)), ((30, 130, 180), (70, 190, 205)), wave=0.0)
    foam = _mix(water, (250, 250, 245), _sharp(y - shore + 0.02, pixels))
    return _mix(foam, (240, 215, 160), _sharp(y - shore, pixels))


def _night(ground: Ground, pixels: int) -> Floats:
    sky = _mix((12, 16, 48), (50, 46, 100), _axes(pixels)[1])
    reach = max(1, pixels // 96)
    for left, top in np.random.default_rng(int(ground.turn * 1e9)).integers(0, pixels, (26, 2)):
        sky[top : top + reach, left : left + reach] = (255, 250, 215)
    return sky


def _snow(ground: Ground, pixels: int) -> Floats:
    return _hills(ground, pixels, ((150, 165, 185), (205, 215, 228)), ((250, 252, 255), (222, 232, 245)))


def _sea(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    waves = 0.5 + 0.5 * np.sin(2 * math.pi * (7 * y**0.8 * 2 + 0.16 * np.sin(2 * math.pi * (3 * x + ground.turn))))
    water = _mix((40, 125, 190), (75, 165, 215), waves)
    return _mix((190, 225, 245), water, _sharp(y - 0.2 - 0.1 * ground.turn, pixels))


def _table(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    board = np.floor(y * 5)
    grain = 0.5 + 0.3 * np.sin(40 * y + 3 * np.sin(5 * x + 2 * board + 6 * ground.turn))
    grain += 0.12 * np.sin(board * 12.9 + ground.turn)
    wood = _mix((150, 100, 60), (195, 145, 95), np.clip(grain, 0, 1))
    return _mix(wood, (95, 60, 35), 1 - _sharp((y * 5) % 1 / 5 - 0.008, pixels))


def _sunset(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    scene = _hills(ground, pixels, ((110, 60, 125), (255, 160, 70)), ((80, 45, 70), (40, 25, 45)), wave=0.02)
    sun = _sharp(0.09 - np.hypot(x - 0.2 - 0.6 * ground.turn, y - 0.38), pixels)
    return _mix(scene, (255, 230, 140), sun * (y < 0.42 + 0.16 * ground.turn))


def _bricks(ground: Ground, pixels: int) -> Floats:
    x, y = _axes(pixels)
    row = np.floor(y * 9)
    across, down = (x * 4.5 + 0.5 * (row % 2) + ground.turn) % 1, (y * 9) % 1
    joint = np.maximum(_sharp(0.012 - across / 4.5, pixels), _sharp(0.012 - down / 9, pixels))
    return _mix(_mix((170, 75, 60), (185, 95, 75), row % 3 / 2), (205, 195, 185), joint)


_PAINTERS: dict[str, Callable[[Ground, int], Floats]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "meadow": _meadow,
    "beach": _beach,
    "night": _night,
    "snow": _snow,
    "sea": _sea,
    "table": _table,
    "sunset": _sunset,
    "bricks": _bricks,
}
