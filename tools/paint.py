"""A scene -> a square RGB picture of any size, the same for the same scene."""

import math
from collections.abc import Callable
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from tools.grounds import paint_ground
from tools.scenes import Placed, Scene

SpriteSource = Callable[[str, str, int], Image.Image]  # name, style, pixels -> RGBA square

BLUR = 0.012  # radius of the blur effect as a share of the picture's side
NOISE = 22.0  # its standard deviation at 96 pixels, out of 255


def paint(scene: Scene, sprites: SpriteSource, pixels: int) -> Image.Image:
    """Draw the scene: RGB, (pixels, pixels)."""
    random = np.random.default_rng(scene.seed)
    picture = Image.fromarray(paint_ground(scene.ground, pixels, random))
    for placed in scene.placed:
        _paste(picture, placed, sprites, scene.shadow)
    return _affect(picture, scene.effect, random)


def recompress(picture: Image.Image, rng: Random) -> Image.Image:
    """What a JPEG of random quality leaves of it."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=rng.randint(35, 95))
    return Image.open(file).convert("RGB")


def _paste(picture: Image.Image, placed: Placed, sprites: SpriteSource, shadow: bool) -> None:
    side = max(4, round(placed.size * picture.width))
    sprite = sprites(placed.thing.name, placed.style, side)
    if placed.mirrored:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    filtered = Image.Resampling.BOX if side * 2 < sprite.width else Image.Resampling.BICUBIC
    sprite = sprite.convert("RGBa").resize((side, side), filtered)
    sprite = sprite.rotate(placed.angle, Image.Resampling.BILINEAR, expand=True).convert("RGBA")
    corner = round(placed.x * picture.width - sprite.width / 2), round(placed.y * picture.width - sprite.height / 2)
    if shadow:
        _cast(picture, sprite.getchannel("A"), corner, side)
    picture.paste(sprite, corner, sprite)


def _cast(picture: Image.Image, alpha: Image.Image, corner: tuple[int, int], side: int) -> None:
    """Darken the ground below and to the right of the sprite."""
    soft = max(1, side // 24)
    mask = Image.new("L", (alpha.width + 4 * soft, alpha.height + 4 * soft))
    mask.paste(alpha.point(lambda opacity: opacity * 0.38), (2 * soft, 2 * soft))
    mask = mask.filter(ImageFilter.GaussianBlur(soft))
    picture.paste((0, 0, 0), (corner[0] - soft, corner[1]), mask)


def _affect(picture: Image.Image, effect: str | None, random: np.random.Generator) -> Image.Image:
    match effect:
        case "blur":
            return picture.filter(ImageFilter.GaussianBlur(BLUR * picture.width))
        case "noise":
            sigma = NOISE * math.sqrt(picture.width / 96)
            noisy = np.asarray(picture) + sigma * random.standard_normal((*picture.size, 1), np.float32)
            return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        case "dim":
            return picture.point(lambda light: light * 0.38)
        case "gray":
            return picture.convert("L").convert("RGB")
        case _:
            return picture
