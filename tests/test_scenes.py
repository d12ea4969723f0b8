"""The scene generator draws what it says; the bundled model and the sample collection are what they claim to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from search.settings import PROJECT
from tools.captions import describe, hint, plural, with_article
from tools.paint import paint
from tools.scenes import PATTERNS, PLACES, Ground, Placed, Scene, Thing, held_out, make_scene
from tools.towers import Towers, encode_text, load

SAMPLE, MODEL = PROJECT / "data" / "sample", PROJECT / "data" / "model"
NAMES = "apple banana bicycle castle cat dog guitar horse house kite lemon owl piano robot rose ship snail tent whale"
THINGS = [Thing(name, (f"{name} keyword",), ("plain",)) for name in NAMES.split()]


def disc(name: str, style: str, pixels: int) -> Image.Image:
    """A sprite without art: a square of a color that the name decides."""
    return Image.new("RGBA", (pixels, pixels), (255, 40 + len(name), 0, 255))


def scenes(count: int, *, unseen: bool = False) -> Iterator[Scene]:
    rng = Random(7)
    return (make_scene(rng, THINGS, unseen=unseen) for _ in range(count))


def pairs(scene: Scene) -> list[tuple[Thing, Thing]]:
    return list(combinations([group[0].thing for group in scene.groups], 2))


def test_the_same_seed_draws_and_says_the_same() -> None:
    first, second = (
        [(paint(scene, disc, 48).tobytes(), describe(scene, Random(1))) for scene in scenes(8)] for _ in "ab"
    )
    assert first == second


def test_pairs_that_are_held_out_are_never_drawn_together_in_training() -> None:
    training = [pair for scene in scenes(300) for pair in pairs(scene)]
    measured = [pair for scene in scenes(300, unseen=True) for pair in pairs(scene)]
    assert not any(held_out(*pair) for pair in training)
    assert all(held_out(*pair) for pair in measured)
    assert len(training) > 100
    assert len(measured) > 100


def test_the_order_of_two_things_does_not_decide_whether_they_are_held_out() -> None:
    assert all(held_out(first, second) == held_out(second, first) for first, second in combinations(THINGS, 2))


def test_a_caption_names_every_thing_and_a_hint_at_least_one() -> None:
    rng = Random(3)
    for scene in scenes(200):
        names = [group[0].thing.name for group in scene.groups]
        said = describe(scene, rng).lower()
        assert all(name in said for name in names)
        hinted = hint(scene, rng)
        assert any(name in hinted for name in names)


def test_objects_stay_apart_and_their_centers_inside() -> None:
    for scene in scenes(200):
        assert all(0 < one.x < 1 and 0 < one.y < 1 for one in scene.placed)
        assert all(np.hypot(a.x - b.x, a.y - b.y) > (a.size + b.size) / 2 for a, b in combinations(scene.placed, 2))


def test_a_relation_says_where_the_object_is_painted() -> None:
    left, right = (
        Placed(thing, "plain", x, 0.5, 0.3, 0.0, False) for thing, x in zip(THINGS, (0.25, 0.75), strict=False)
    )
    scene = Scene((left, right), Ground("plain", ("blue",), ((0, 0, 255),), 0.0), None, False, 0)
    said = {describe(scene, Random(seed)).lower() for seed in range(200)}
    assert any("apple left of a banana" in one or "an apple to the left of a banana" in one for one in said)
    assert not any("apple right of" in one or "banana left of" in one for one in said)
    alone = np.asarray(paint(replace(scene, placed=(left,)), disc, 64))
    assert alone[32, 16, 0] > 200 > alone[32, 48, 0]


@pytest.mark.parametrize("kind", ["plain", *PATTERNS, *PLACES])
def test_every_ground_is_painted_at_any_size_and_has_words(kind: str) -> None:
    place = kind in PLACES
    ground = Ground(kind, () if place else ("red", "white"), () if place else ((200, 0, 0), (250, 250, 250)), 0.3)
    scene = Scene((Placed(THINGS[0], "plain", 0.5, 0.5, 0.2, 0.0, False),), ground, None, False, 0)
    small, large = (paint(scene, disc, pixels) for pixels in (64, 256))
    assert (small.size, large.size) == ((64, 64), (256, 256))
    shrunk = large.resize((64, 64), Image.Resampling.BOX)
    assert np.abs(np.asarray(shrunk, np.float32) - np.asarray(small, np.float32)).mean() < 12
    assert len({describe(scene, Random(seed)) for seed in range(40)}) > 10


@pytest.mark.parametrize(
    ("name", "article", "many"),
    [
        ("dog", "a dog", "dogs"),
        ("owl", "an owl", "owls"),
        ("unicorn", "a unicorn", "unicorns"),
        ("hourglass", "an hourglass", "hourglasses"),
        ("cherries", "cherries", "cherries"),
        ("bus", "a bus", "buses"),
        ("person in bed", "a person in bed", "people in bed"),
        ("face savoring food", "a face savoring food", "faces savoring food"),
        ("slightly smiling face", "a slightly smiling face", "slightly smiling faces"),
        ("classical building", "a classical building", "classical buildings"),
        ("butterfly", "a butterfly", "butterflies"),
    ],
)
def test_articles_and_plurals(name: str, article: str, many: str) -> None:
    assert (with_article(name), plural(name)) == (article, many)


@pytest.fixture(scope="module")
def towers() -> Towers:
    return load(MODEL)


def test_the_model_is_small_and_its_weights_are_half_precision() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 20_000_000
    config = json.loads((MODEL / "open_clip_config.json").read_text())["model_cfg"]
    assert (config["text_cfg"]["vocab_size"], config["text_cfg"]["context_length"]) == (49408, 77)


def test_text_that_is_cut_to_the_longest_gives_the_embeddings_of_the_whole_context(towers: Towers) -> None:
    tokens = towers.tokenizer(["a dog", "three red apples to the left of a guitar on a wooden table"])
    with torch.inference_mode():
        whole = towers.model.encode_text(tokens, normalize=True)
        assert torch.allclose(encode_text(towers.model, tokens), whole, atol=1e-5)
    assert torch.allclose(whole.norm(dim=1), torch.ones(2), atol=1e-5)


def test_captions_find_their_pictures_and_pictures_their_captions(towers: Towers) -> None:
    captions = sample_captions()
    images = towers.images([read(file) for file in captions])
    texts = towers.texts([said[0] for said in captions.values()])
    scores = texts @ images.T
    for way in (scores, scores.T):
        better = (way > way.diagonal()[:, None]).sum(dim=1)
        assert (better < 10).float().mean() > 0.97
        assert (better < 1).float().mean() > 0.75


def read(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")


def sample_captions() -> dict[Path, list[str]]:
    """Every picture of the sample in a common format, with its captions."""
    read = {folder.parent: json.loads(folder.read_text("utf-8")) for folder in sorted(SAMPLE.glob("*/captions.json"))}
    return {
        folder / name: said for folder, names in read.items() if folder.name != "odd" for name, said in names.items()
    }


def test_every_sample_picture_has_its_own_captions() -> None:
    pictures = {file for file in SAMPLE.glob("*/*.*") if file.suffix not in (".json", ".txt")}
    odd = {SAMPLE / "odd" / name for name in json.loads((SAMPLE / "odd" / "captions.json").read_text("utf-8"))}
    assert pictures == sample_captions().keys() | odd
    assert all(2 <= len(said) <= 3 for said in sample_captions().values())


ODD = {
    "animated.gif": ("GIF", "P"),
    "cmyk.jpg": ("JPEG", "CMYK"),
    "from-a-camera.jpg": ("JPEG", "RGB"),
    "gray.jpg": ("JPEG", "L"),
    "palette.png": ("PNG", "P"),
    "picture.avif": ("AVIF", "RGB"),
    "picture.bmp": ("BMP", "P"),
    "picture.tiff": ("TIFF", "RGB"),
    "picture.webp": ("WEBP", "RGB"),
    "sixteen-bit.png": ("PNG", "I;16"),
    "transparent.png": ("PNG", "RGBA"),
    "turned-left.jpg": ("JPEG", "RGB"),
    "upside-down.jpg": ("JPEG", "RGB"),
}


def test_the_odd_pictures_are_what_their_names_say() -> None:
    for name, (form, mode) in ODD.items():
        with Image.open(SAMPLE / "odd" / name) as picture:
            assert (picture.format, picture.mode) == (form, mode), name
            assert getattr(picture, "n_frames", 1) == (4 if form == "GIF" else 1)
            orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
            assert orientation == {"turned-left.jpg": 6, "upside-down.jpg": 3}.get(name, 1)
            assert bool(picture.getexif().get_ifd(ExifTags.IFD.GPSInfo)) == (name == "from-a-camera.jpg")
