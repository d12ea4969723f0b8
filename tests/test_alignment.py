"""An edited picture is told from others that look like it, or that share its frame, and where it lies is measured."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.duplicates import scene
from benchmarks.edits import Edit, caption, edits_beside, logo, screenshot
from indexer.bench_pictures import picture
from search.alignment import Alignment, align
from search.local_features import LONGEST, features_of, mirrored, packed, query_features, record_of, shrunk, unpacked

SIZE = (320, 240)
KEYPOINTS = 64


def made(seed: int) -> Image.Image:
    return picture(np.random.default_rng(seed), SIZE)


def aligned(query: Image.Image, image: Image.Image) -> Alignment | None:
    """As a lookup does it: the query in full, the image as the catalog keeps it."""
    features = query_features(query)
    return align(features, mirrored(features), unpacked(packed(features_of(shrunk(image), count=KEYPOINTS))))


def same(query: Image.Image, image: Image.Image) -> bool:
    found = aligned(query, image)
    return found is not None and found.same


@pytest.mark.parametrize("name", edits_beside(made(1)))
def test_an_edited_picture_is_the_same_and_another_is_not(name: str) -> None:
    edit = edits_beside(made(1))[name]
    edited = edit(made(0), random.Random(0))
    assert same(edited, made(0))
    assert not same(edited, made(2))


@pytest.mark.parametrize("edit", [caption, logo, screenshot], ids=lambda edit: edit.__name__)
def test_two_pictures_in_the_same_frame_are_not_the_same(edit: Edit) -> None:
    assert not same(edit(made(0), random.Random(0)), edit(made(2), random.Random(0)))


@pytest.mark.parametrize(
    ("number", "name"),
    [(46480, "color"), (2320, "color"), (56440, "border"), (81160, "turn 7")],
    ids=["faint", "colors driven to their limits", "few keypoints are left of it", "few, and turned"],
)
def test_edits_that_were_missed_among_a_hundred_thousand_pictures_are_told_by_what_is_kept(
    number: int, name: str
) -> None:
    """As `duplicates` does it: nothing but the records of both."""
    original = scene(number)
    edited = edits_beside(scene(0))[name](original, random.Random(number))
    kept, image, other = (unpacked(record_of(one, KEYPOINTS)) for one in (edited, original, scene(number + 1)))
    found = align(kept, mirrored(kept), image)
    assert found is not None
    assert found.same
    assert not any(one.same for one in (align(kept, mirrored(kept), other),) if one)


def test_many_keypoints_all_over_an_image_say_more_than_those_of_a_frame() -> None:
    """Of a picture that shares a frame with another, many may match, but few parts of it."""
    found = aligned(made(0), made(0))
    assert found is not None
    drawn = replace(found, agreement=0.72)
    assert replace(drawn, inliers=16, parts=10).same
    assert not replace(drawn, inliers=16, parts=9).same
    assert not replace(drawn, inliers=15, parts=10).same
    assert not replace(drawn, inliers=64, parts=16, agreement=0.65).same


def test_what_a_crop_shows_of_the_picture_is_known() -> None:
    found = aligned(made(0).crop((64, 48, 288, 216)), made(0))
    assert found is not None
    expected = np.array([(0.2, 0.2), (0.9, 0.2), (0.9, 0.9), (0.2, 0.9)])
    for corner in found.region:
        assert np.abs(expected - corner).max(axis=1).min() < 0.02
    assert len(found.region) == 4
    assert found.rotation == pytest.approx(0, abs=1.5)
    assert found.scale * LONGEST / SIZE[0] == pytest.approx(1, abs=0.02)
    assert not found.flipped


@pytest.mark.parametrize("degrees", [90, -90, 7, 180])
def test_by_how_much_a_picture_was_turned_is_known(degrees: int) -> None:
    """Pillow turns counter-clockwise."""
    found = aligned(made(0).rotate(degrees, Image.Resampling.BICUBIC, expand=True), made(0))
    assert found is not None
    assert (found.rotation + degrees + 180) % 360 - 180 == pytest.approx(0, abs=1.5)
    assert not found.flipped


def test_a_mirror_image_is_known_as_one() -> None:
    found = aligned(ImageOps.mirror(made(0)), made(0))
    assert found is not None
    assert (found.flipped, found.rotation) == (True, pytest.approx(0, abs=1.5))


def test_a_picture_without_any_feature_is_like_no_other() -> None:
    plain = Image.new("RGB", SIZE, "red")
    assert aligned(plain, plain) is None
    assert aligned(made(0), plain) is None
    assert aligned(plain, made(0)) is None


def test_the_features_of_a_mirror_image_need_no_second_look() -> None:
    """Detected in the mirror image, the same keypoint has nearly the descriptor that `mirrored` gives it."""
    expected, found = query_features(ImageOps.mirror(made(0))), mirrored(query_features(made(0)))
    assert (found.grey == expected.grey).all()
    apart = np.linalg.norm(found.points[:, None] - expected.points[None], axis=2)
    turned = np.abs((found.angles[:, None] - expected.angles[None] + 180) % 360 - 180)
    at, of = np.nonzero((apart < 0.5) & (turned < 2))
    assert len(at) > 0.4 * len(found.points)
    assert np.median(np.einsum("nd,nd->n", found.descriptors[at], expected.descriptors[of])) > 0.97


def test_what_is_kept_of_features_is_small_and_near_to_them() -> None:
    features = features_of(shrunk(made(0)), count=KEYPOINTS)
    record = packed(features)
    kept = unpacked(record)
    assert 30 < len(kept.points) <= KEYPOINTS
    assert len(record) == 1028 + 70 * len(kept.points)
    assert kept.size == features.size == (LONGEST, LONGEST * SIZE[1] // SIZE[0])
    assert np.abs(kept.points - features.points).max() < 0.01
    assert np.abs(np.log2(kept.scales / features.scales)).max() < 0.05
    assert np.abs((kept.angles - features.angles + 180) % 360 - 180).max() < 1
    assert np.einsum("nd,nd->n", kept.descriptors, features.descriptors).min() > 0.98
    assert (kept.grey == features.grey).all()


def test_the_strongest_keypoints_are_the_same_however_many_are_asked_for() -> None:
    grey = shrunk(made(0), 320)
    few, many = features_of(grey, count=20), features_of(grey, count=600)
    assert len(many.points) > len(few.points) == 20
    np.testing.assert_array_equal(many.points[:20], few.points)
    assert np.einsum("nd,nd->n", many.descriptors[:20], few.descriptors).min() > 0.98


def test_keypoints_are_taken_from_all_over_the_picture() -> None:
    half = Image.new("RGB", SIZE, "gray")
    half.paste(made(0).crop((0, 0, 160, 240)), (0, 0))
    half.paste(made(2).resize((160, 240)).point(lambda level: 64 + level // 2), (160, 0))
    points = features_of(shrunk(half), count=32).points
    assert 10 <= (points[:, 0] < LONGEST / 2).sum() <= 22


@pytest.mark.slow
def test_photographs_are_told_from_those_that_are_nearest_to_them(shared: Path) -> None:
    """The nearest by ViT-B/32 of twelve photographs, in every edit."""
    rows = json.loads((shared / "data/clip_space/image_rows.json").read_text())
    vectors = np.load(shared / "data/clip_space/image_vectors.npy").astype(np.float32)
    at = [row for row, facts in enumerate(rows) if facts["photo"]]
    photos = [Image.open(shared / "data/photos" / rows[row]["photo"]).convert("RGB") for row in at]
    cosines = vectors[at] @ vectors[at].T
    np.fill_diagonal(cosines, -1)
    found, mistaken, asked = 0, 0, 0
    shared_frames = {"caption", "logo", "border", "screenshot"}
    for number in range(0, len(photos), len(photos) // 11):
        nearest = photos[int(cosines[number].argmax())]
        for name, edit in edits_beside(photos[number - 1]).items():
            edited = edit(photos[number], random.Random(number))
            asked += 1
            found += same(edited, photos[number])
            mistaken += same(edited, nearest)
            mistaken += name in shared_frames and same(edited, edit(nearest, random.Random(-number)))
    assert (found / asked, mistaken) == (pytest.approx(1, abs=0.01), 0)
