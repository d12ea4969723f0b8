"""Held-out scenes -> the sample collection: JPEGs by art style, a few odd formats, and their captions.

python -m tools.make_sample data/sample
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tools.art import Sprites, load_things
from tools.captions import describe
from tools.evaluate_clip import in_style
from tools.paint import paint
from tools.scenes import Ground, Scene, Thing, make_scene

SEED = 2_026
PIXELS = 288  # longer side
PICTURES = {"noto": 120, "twemoji": 90, "emojione": 50, "noto-v1": 50, "fxemoji": 30}  # how many in each style
CAPTIONS = 3
NOT_SHOWN = re.compile(
    r"poo|coffin|cigarette|syringe|blood|bomb|dagger|pistol|vomit|nausea|urn$|headstone|sword|toilet"
)
CENTER = 0.75  # share of the side that a picture in 4:3 keeps


def make_sample(folder: Path) -> None:
    """Write every picture, and `captions.json` in each folder; the same files for the same seed."""
    rng, sprites = Random(SEED), Sprites()
    things = [thing for thing in load_things() if not NOT_SHOWN.search(thing.name)]
    for style, count in PICTURES.items():
        _make_style(folder / style, in_style(things, style), count, rng, sprites)
    _make_odd(folder / "odd", in_style(things, "noto"), rng, sprites)


def _make_style(folder: Path, things: Sequence[Thing], count: int, rng: Random, sprites: Sprites) -> None:
    """So many JPEGs, named by number and things."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for number in range(count):
        scene = make_scene(rng, things, unseen=True)
        names = "-".join(group[0].thing.name for group in scene.groups)
        name = f"{number:03}-{re.sub('[^a-z0-9]+', '-', names.lower())[:60].strip('-')}.jpg"
        _crop(scene, draw(scene, sprites), rng).save(folder / name, quality=88, optimize=True)
        captions[name] = _captions(scene, rng)
    _write(folder, captions)


def _write(folder: Path, captions: dict[str, list[str]]) -> None:
    """File name -> captions, for the whole folder."""
    (folder / "captions.json").write_text(json.dumps(captions, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def draw(scene: Scene, sprites: Sprites) -> Image.Image:
    """The scene at (PIXELS, PIXELS), drawn at twice that size for smooth edges."""
    return paint(scene, sprites, 2 * PIXELS).resize((PIXELS, PIXELS), Image.Resampling.LANCZOS)


def _captions(scene: Scene, rng: Random) -> list[str]:
    """Different ways to say what is in the scene, the longest first."""
    said = {describe(scene, rng): None for _ in range(4 * CAPTIONS)}
    return sorted(list(said)[:CAPTIONS], key=len, reverse=True)


def _crop(scene: Scene, picture: Image.Image, rng: Random) -> Image.Image:
    """Sometimes 4:3 or 3:4, if all objects lie in the central square of what stays."""
    first, last = (1 - CENTER) / 2, (1 + CENTER) / 2
    centers = [(center, placed.size / 2) for placed in scene.placed for center in (placed.x, placed.y)]
    if any(center - half < first or center + half > last for center, half in centers):
        return picture
    start, end = round(first * PIXELS), round(last * PIXELS)
    return picture.crop((0, start, PIXELS, end) if rng.random() < 0.7 else (start, 0, end, PIXELS))


def _make_odd(folder: Path, things: Sequence[Thing], rng: Random, sprites: Sprites) -> None:
    """One picture for each format and orientation that a real folder may hold."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for name, save in ODD.items():
        scene = make_scene(rng, things, unseen=True, crowd=2)
        scene = replace(scene, effect="gray" if name in COLORLESS else None)
        save(scene, sprites, folder / name)
        captions[name] = _captions(scene, rng)
    _write(folder, captions)


def _plainly(mode: str = "RGB", **options: Any) -> Callable[[Scene, Sprites, Path], None]:
    """Save in this mode with these options of Pillow's writer."""

    def save(scene: Scene, sprites: Sprites, path: Path) -> None:
        draw(scene, sprites).convert(mode).save(path, **options)

    return save


def _turned(orientation: int, undo: Image.Transpose) -> Callable[[Scene, Sprites, Path], None]:
    """Save the pixels turned, with the EXIF orientation that turns them back."""

    def save(scene: Scene, sprites: Sprites, path: Path) -> None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        draw(scene, sprites).transpose(undo).save(path, quality=88, exif=exif)

    return save


def _from_camera(scene: Scene, sprites: Sprites, path: Path) -> None:
    """A JPEG that says when, where and by which camera it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Example", "Drawing Machine 1"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:06:21 21:30:00"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (60.0, 10.0, 12.0),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (24.0, 56.0, 24.0),
        }
    )
    draw(scene, sprites).save(path, quality=88, exif=exif)


def _sixteen_bits(scene: Scene, sprites: Sprites, path: Path) -> None:
    levels = np.asarray(draw(scene, sprites).convert("L"), np.uint16) * 257
    Image.fromarray(levels).save(path)


def _transparent(scene: Scene, sprites: Sprites, path: Path) -> None:
    """The objects alone, on nothing: the difference between a white and a black ground is what shows through."""
    white, black = (np.asarray(draw(_on(scene, light), sprites), np.float32) for light in (255, 0))
    alpha = np.clip(255 - (white - black).max(axis=2, keepdims=True), 1, 255)
    color = np.clip(black * 255 / alpha, 0, 255)
    Image.fromarray(np.concatenate([color, alpha], axis=2).astype(np.uint8)).save(path, optimize=True)


def _on(scene: Scene, light: int) -> Scene:
    ground = Ground("plain", ("white",), ((light, light, light),), 0.0)
    return replace(scene, ground=ground, shadow=False, effect=None)


def _animated(scene: Scene, sprites: Sprites, path: Path) -> None:
    """Four frames in which the objects rock to and fro."""
    frames = [draw(_rocked(scene, angle), sprites).quantize(64) for angle in (0, 8, 0, -8)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=250, loop=0)


def _rocked(scene: Scene, angle: float) -> Scene:
    return replace(scene, placed=tuple(replace(one, angle=one.angle + angle) for one in scene.placed))


ODD: dict[str, Callable[[Scene, Sprites, Path], None]] = {
    "transparent.png": _transparent,
    "palette.png": _plainly("P", optimize=True),
    "sixteen-bit.png": _sixteen_bits,
    "picture.webp": _plainly(quality=85),
    "picture.avif": _plainly(quality=70),
    "picture.tiff": _plainly(compression="tiff_lzw"),
    "picture.bmp": _plainly("P"),
    "animated.gif": _animated,
    "gray.jpg": _plainly("L", quality=88),
    "cmyk.jpg": _plainly("CMYK", quality=88),
    "turned-left.jpg": _turned(6, Image.Transpose.ROTATE_90),
    "upside-down.jpg": _turned(3, Image.Transpose.ROTATE_180),
    "from-a-camera.jpg": _from_camera,
}
COLORLESS = ("gray.jpg", "sixteen-bit.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the collection and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    make_sample(folder)
    sizes = [path.stat().st_size for path in folder.rglob("*.*") if path.suffix not in (".json", ".md", ".txt")]
    print(f"{len(sizes)} pictures, {sum(sizes) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
