"""What verdicts say, of pictures that were really edited."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from benchmarks.edits import crop, mirror, resize, turn
from indexer.bench_pictures import picture
from search.lookup import VERDICTS, Candidate, by_image
from search.same_picture import Evidence
from search.searcher import Searcher
from search.verdict_words import WORDS, edit_in_words, in_words
from tests.conftest import Build

SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def evidence(**changes: object) -> Evidence:
    values = {
        "inliers": 9,
        "agreement": 1.0,
        "region": SQUARE,
        "rotation": 0.0,
        "scale": 1.0,
        "flipped": False,
        "fills": 1.0,
    }
    return Evidence(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the same frame, with other colors, quality or things on it"),
        ({"rotation": 90.2}, "turned 90° clockwise"),
        ({"rotation": -7.0}, "turned 7° counterclockwise"),
        ({"rotation": -179.8}, "turned 180°"),
        ({"rotation": 1.2, "scale": 1.04}, "the same frame, with other colors, quality or things on it"),
        ({"flipped": True, "scale": 0.25}, "mirrored, scaled to 25 %"),
        ({"region": ((0.0, 0.0), (0.5, 0.0), (0.5, 0.9), (0.0, 0.9))}, "cropped to 45 % of it"),
        ({"fills": 0.5}, "within a larger picture, of which it fills 50 %"),
        ({"region": ((0.0, 0.0), (0.01, 0.0), (0.01, 0.01))}, "cropped to 1 % of it"),
    ],
)
def test_an_edit_is_told_by_what_was_done(changes: dict[str, object], words: str) -> None:
    assert edit_in_words(evidence(**changes)) == words
    assert in_words("edited", evidence(**changes)) == f"edited: {words}"


def test_every_verdict_has_words() -> None:
    assert set(WORDS) == set(VERDICTS)
    assert in_words("identical", None) == "identical file"
    assert in_words("identical-pixels", evidence()) == "same pixels in another file"


def test_the_area_is_that_of_a_mask_filled_by_pillow() -> None:
    polygon = ((0.1, 0.2), (0.9, 0.05), (0.95, 0.7), (0.3, 0.97))
    mask = Image.new("1", (1000, 1000))
    ImageDraw.Draw(mask).polygon([(1000 * x, 1000 * y) for x, y in polygon], fill=1)
    assert evidence(region=polygon).shown == pytest.approx(np.asarray(mask).mean(), abs=0.005)
    assert evidence(region=polygon[::-1]).shown == pytest.approx(evidence(region=polygon).shown)


def first(searcher: Searcher, file: Path, image: Image.Image) -> Candidate:
    image.save(file)
    return by_image(searcher, file.read_bytes())[0]


def test_edits_of_a_picture_are_told_as_they_were_made(searcher: Searcher, index: Build, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        picture(np.random.default_rng(seed), (400, 300)).save(folder / f"{seed}.png")
    index(folder)
    original, chance = Image.open(folder / "2.png"), random.Random(0)
    framed = ImageOps.expand(original, (50, 0, 50, 100))
    edits = {
        "within a larger picture, of which it fills 60 %": framed,
        "turned 90° counterclockwise": turn(90)(original, chance),
        "mirrored": mirror(original, chance),
        "scaled to 50 %": resize(0.5)(original, chance),
        "cropped to 50 % of it": crop(0.5)(original, chance),
        "mirrored, turned 180°": ImageOps.flip(original),
        "the same frame, with other colors, quality or things on it": ImageEnhance.Brightness(original).enhance(0.7),
    }
    for words, edited in edits.items():
        found = first(searcher, tmp_path / "edit.png", edited)
        assert (found.hit.path.name, in_words(found.verdict, found.evidence)) == ("2.png", f"edited: {words}")
    again = first(searcher, tmp_path / "again.bmp", original)
    assert in_words(again.verdict, again.evidence) == "same pixels in another file"
