"""A picture -> what people make of it: recompressed, cropped, turned, framed, written on. Seeded."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Edit = Callable[[Image.Image, random.Random], Image.Image]


def jpeg(quality: int) -> Edit:
    def edit(image: Image.Image, _: random.Random) -> Image.Image:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        return Image.open(out).convert("RGB")

    return edit


def resize(factor: float) -> Edit:
    def edit(image: Image.Image, _: random.Random) -> Image.Image:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return image.resize(size, Image.Resampling.LANCZOS)

    return edit


def stretch(factor: float) -> Edit:
    """Wider, and as high as before."""

    def edit(image: Image.Image, _: random.Random) -> Image.Image:
        return image.resize((round(image.width * factor), image.height), Image.Resampling.LANCZOS)

    return edit


def crop(area: float) -> Edit:
    """A part of the same aspect anywhere in the picture."""

    def edit(image: Image.Image, chance: random.Random) -> Image.Image:
        width, height = (round(side * area**0.5) for side in image.size)
        left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
        return image.crop((left, top, left + width, top + height))

    return edit


def turn(degrees: int) -> Edit:
    """By a right angle, or by little with what is outside filled black."""

    def edit(image: Image.Image, _: random.Random) -> Image.Image:
        return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True)

    return edit


def mirror(image: Image.Image, _: random.Random) -> Image.Image:
    return ImageOps.mirror(image)


def blur(image: Image.Image, _: random.Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 150))


def color(image: Image.Image, chance: random.Random) -> Image.Image:
    """Brightness, saturation and contrast by a half up or down."""
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        image = enhancer(image).enhance(chance.choice((0.55, 1.5)))
    return image


def grey(image: Image.Image, _: random.Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def caption(image: Image.Image, _: random.Random) -> Image.Image:
    """A white bar of a fifth over the top with large words."""
    bar = image.height // 5
    out = Image.new("RGB", (image.width, image.height + bar), "white")
    out.paste(image, (0, bar))
    font = ImageFont.load_default(bar * 0.5)
    ImageDraw.Draw(out).text((bar // 4, bar // 5), "WHEN YOU SEE IT", "black", font)
    return out


def logo(image: Image.Image, chance: random.Random) -> Image.Image:
    """A badge over a tenth of the picture, in a corner."""
    out = image.copy()
    width, height = (round(side * 0.1**0.5) for side in image.size)
    left, top = chance.choice((0, image.width - width)), chance.choice((0, image.height - height))
    draw = ImageDraw.Draw(out)
    draw.rectangle((left, top, left + width, top + height), "navy")
    draw.ellipse((left + width // 8, top + height // 8, left + 7 * width // 8, top + 7 * height // 8), "gold")
    draw.text((left + width // 4, top + height // 3), "LOGO", "black", ImageFont.load_default(height / 4))
    return out


def border(image: Image.Image, _: random.Random) -> Image.Image:
    return ImageOps.expand(image, max(image.size) // 10, "white")


def screenshot(image: Image.Image, _: random.Random) -> Image.Image:
    """In a window of a telephone: bars with words and buttons above and below."""
    width, height = image.size
    out = Image.new("RGB", (width, round(height * 1.6)), "#f4f4f4")
    top = round(height * 0.25)
    out.paste(image, (0, top))
    draw = ImageDraw.Draw(out)
    draw.rectangle((0, 0, width, top // 2), "#3355aa")
    draw.text((width // 12, top // 8), "Photos  12:45", "white", ImageFont.load_default(top / 4))
    for at in range(5):
        left = width * (at + 0.25) / 5
        draw.rounded_rectangle((left, height * 1.4, left + width / 10, height * 1.4 + width / 10), 4, "#888888")
    draw.text((width // 12, height * 1.28), "42 likes  7 comments", "black", ImageFont.load_default(top / 5))
    return out


def beside(other: Image.Image) -> Edit:
    """Left of another picture of the same height."""

    def edit(image: Image.Image, _: random.Random) -> Image.Image:
        right = other.resize((round(other.width * image.height / other.height), image.height))
        out = Image.new("RGB", (image.width + right.width, image.height))
        out.paste(image, (0, 0))
        out.paste(right, (image.width, 0))
        return out

    return edit


def both(first: Edit, second: Edit) -> Edit:
    def edit(image: Image.Image, chance: random.Random) -> Image.Image:
        return second(first(image, chance), chance)

    return edit


def edits_beside(other: Image.Image) -> dict[str, Edit]:
    """Every edit by name; the picture that stands beside others is `other`."""
    return {
        "JPEG 30": jpeg(30),
        "JPEG 10": jpeg(10),
        "resize 25 %": resize(0.25),
        "blur": blur,
        "color": color,
        "grey": grey,
        "border": border,
        "screenshot": screenshot,
        "turn 90": turn(90),
        "turn 180": turn(180),
        "turn 7": turn(7),
        "crop 80 %": crop(0.8),
        "crop 50 %": crop(0.5),
        "flip": mirror,
        "caption": caption,
        "logo": logo,
        "crop 30 %": crop(0.3),
        "side by side": beside(other),
        "stretch to 4:3": stretch(4 / 3),
        "stretch to 16:9": stretch(16 / 9),
        "crop 50 % + JPEG 30": both(crop(0.5), jpeg(30)),
        "flip + crop 80 %": both(mirror, crop(0.8)),
        "turn 90 + color": both(turn(90), color),
        "screenshot + resize 50 %": both(screenshot, resize(0.5)),
    }
