"""The page of duplicates shows what was found last, and what each image is to the best of its group."""

from __future__ import annotations

import os
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageOps

from indexer.bench_pictures import picture
from indexer.cli import main
from search.collection import Collection
from search.found_duplicates import FILE
from search.prompts import Label
from search.types import Root
from search.vocabulary import make_vocabulary
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from web.app import create_app
from web.duplicates import PAGE, SHOWN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of 0 a copy; of 1 a larger copy, its left half and its mirror image; 2 alone."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        picture(np.random.default_rng(seed), (400, 300)).save(folder / f"{seed}.png")
    (folder / "trip").mkdir()
    shutil.copy(folder / "0.png", folder / "trip" / "0 again.png")
    os.utime(folder / "0.png", (1_700_000_000, 1_700_000_000))
    one = Image.open(folder / "1.png")
    one.resize((800, 600)).save(folder / "1-large.jpg")
    one.crop((0, 0, 200, 300)).save(folder / "1-half.png")
    ImageOps.mirror(one).save(folder / "1-mirror.png")
    return folder


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, folder: Path, index: Build) -> FlaskClient:
    index(folder)
    collection.catalog.follow([Root(str(folder))])
    return create_app([collection], lambda _model: encoder).test_client()


def page(client: FlaskClient, url: str = "/duplicates") -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return unescape(answer.get_data(as_text=True))


def find(collection: Collection, kind: str = "edited") -> None:
    main(["duplicates", "--collection", str(collection.directory), "--kind", kind])


def groups(html: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The heading of each group, and what is said of each image, with its path."""
    found = re.findall(r'<section class="group">\s*<h2>(.*?)</h2>(.*?)</section>', html, re.DOTALL)
    image = r'<p>(?:<strong class="badge">)?([^<]*)(?:</strong>)?</p>\s*<p class="quiet">(.*?)</p>'
    return [(heading, re.findall(image, group)) for heading, group in found]


def test_where_nobody_has_looked_the_page_names_the_command(client: FlaskClient) -> None:
    html = page(client)
    assert "Nobody has looked for duplicates yet" in html
    assert "<code>python -m indexer duplicates --collection …/collection</code>" in html
    assert 'href="/duplicates"' in page(client, "/status")


def test_groups_are_shown_with_the_best_first_and_what_was_done_to_the_others(
    client: FlaskClient, collection: Collection
) -> None:
    find(collection)
    html = page(client)
    first, second = sorted(groups(html))
    assert first == ("2 pictures, identical files", [("Best", "0.png"), ("Identical file.", "trip/0 again.png")])
    assert second[0] == "4 pictures, edited"
    assert second[1][0] == ("Best", "1-large.jpg")
    assert sorted(second[1][1:]) == [
        ("Edited: cropped to 50 % of it, scaled to 50 %.", "1-half.png"),
        ("Edited: mirrored, scaled to 50 %.", "1-mirror.png"),
        ("Edited: scaled to 50 %.", "1.png"),
    ]
    assert "2 groups with 4 pictures beside the best of each" in html
    assert "800 \u00d7 600 pixels, JPEG, " in html
    assert html.count("<polygon") == 2, "the half, outlined on the best in two colors"
    corners = re.findall(r'<polygon class="line" points="(.*?)"', html)[0].split()
    points = np.array([tuple(map(float, point.split(","))) for point in corners])
    assert np.concatenate([points.min(axis=0), points.max(axis=0)]) == pytest.approx([0, 0, 400, 600], abs=8)


def test_the_paths_of_the_others_are_there_as_text(client: FlaskClient, collection: Collection) -> None:
    find(collection)
    html = page(client, "/duplicates?kind=identical")
    assert "<pre><code>trip/0 again.png\n</code></pre>" in html
    assert 'data-copy="trip/0 again.png"' in html
    assert str(collection.directory) not in html


def test_groups_are_chosen_by_their_kind(client: FlaskClient, collection: Collection) -> None:
    find(collection)
    assert [heading for heading, _ in groups(page(client, "/duplicates?kind=identical"))] == [
        "2 pictures, identical files"
    ]
    assert [heading for heading, _ in groups(page(client, "/duplicates?kind=edited"))] == ["4 pictures, edited"]
    html = page(client, "/duplicates?kind=similar")
    assert groups(html) == []
    assert "No such groups" in html
    assert client.get("/duplicates?kind=other").status_code == 400


def test_an_old_result_is_told_and_what_is_gone_is_not_shown(
    client: FlaskClient, collection: Collection, folder: Path, index: Build
) -> None:
    find(collection)
    assert "has changed since" not in page(client)
    (folder / "trip" / "0 again.png").unlink()
    (folder / "1-mirror.png").unlink()
    index(folder)
    html = page(client)
    assert "The collection has changed since this was found" in html
    assert [heading for heading, _ in groups(html)] == ["3 pictures, edited"]


def test_look_alikes_are_told_from_edits(
    collection: Collection, encoder: ColorEncoder, index: Build, photos: Path
) -> None:
    for number in range(SHOWN + 3):
        paint(photos / f"red {number:02}.png", "red", (30 + number, 20))
    index(photos)
    find(collection, "similar")
    html = page(create_app([collection], lambda _model: encoder).test_client())
    ((heading, images),) = groups(html)
    assert heading == f"{SHOWN + 4} pictures, similar"
    assert images[0][0] == "Best"
    assert {words for words, _ in images[1:]} == {"Looks like it."}
    assert len(images) == 1 + SHOWN
    assert html.count("red 00.png") == 2, "of those that are not shown the path is told"


def test_images_without_features_are_not_judged(
    collection: Collection, encoder: ColorEncoder, index: Build, photos: Path
) -> None:
    paint(photos / "large.png", "red", (60, 40))
    index(photos, keypoints=0)
    find(collection, "similar")
    ((_, images),) = groups(page(create_app([collection], lambda _model: encoder).test_client()))
    assert [words for words, _ in images] == ["Best", "Cannot be told."]


def test_many_groups_come_page_by_page(
    collection: Collection, encoder: ColorEncoder, index: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    for number in range(PAGE + 2):
        paint(folder / f"{number}.png", "blue", (20 + number, 20))
        shutil.copy(folder / f"{number}.png", folder / f"{number} again.png")
    index(folder)
    find(collection, "identical")
    client = create_app([collection], lambda _model: encoder).test_client()
    first, second = page(client), page(client, "/duplicates?page=2")
    assert len(groups(first)) == PAGE
    assert len(groups(second)) == 2
    assert 'rel="next" href="/duplicates?page=2"' in first
    assert 'rel="prev" href="/duplicates"' in second
    paths = [path for html in (first, second) for _, images in groups(html) for _, path in images]
    assert len(set(paths)) == 2 * (PAGE + 2)


def test_groups_that_are_lost_leave_no_gap_on_a_page(
    collection: Collection, encoder: ColorEncoder, index: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    for number in range(PAGE + 3):
        paint(folder / f"{number:02}.png", "blue", (20 + number, 20))
        shutil.copy(folder / f"{number:02}.png", folder / f"{number:02} again.png")
    index(folder)
    find(collection, "identical")
    client = create_app([collection], lambda _model: encoder).test_client()
    before = [heading_and_images[1] for heading_and_images in groups(page(client))]
    lost = [images[0][1] for images in (before[0], before[4])]
    for path in lost:
        (folder / path).unlink()
    index(folder)
    first, second = page(client), page(client, "/duplicates?page=2")
    assert f"{PAGE + 1} groups with {PAGE + 1} pictures beside the best of each" in first
    assert [len(groups(html)) for html in (first, second)] == [PAGE, 1]
    paths = [path for html in (first, second) for _, images in groups(html) for _, path in images]
    assert len(set(paths)) == 2 * (PAGE + 1)
    assert not set(paths) & set(lost)
    assert "sensitive" not in first, "what is lost is not hidden"


def test_sensitive_images_are_left_out_unless_asked_for(
    collection: Collection, encoder: ColorEncoder, index: Build, photos: Path
) -> None:
    shutil.copy(photos / "red.png", photos / "red again.png")
    shutil.copy(photos / "green.bmp", photos / "green again.bmp")
    index(photos)
    collection.tag(make_vocabulary(encoder, [Label("red", sensitive=True), Label("green"), Label("blue")], ["{}"]))
    find(collection)
    client = create_app([collection], lambda _model: encoder).test_client()
    html = page(client)
    assert "red" not in "".join(path for _, images in groups(html) for _, path in images)
    assert len(groups(html)) == 1
    assert "/duplicates?sensitive=show" in html
    assert len(groups(page(client, "/duplicates?sensitive=show"))) == 2


def test_a_damaged_result_is_told_without_its_directory(client: FlaskClient, collection: Collection) -> None:
    (collection.directory / FILE).write_text("{")
    answer = client.get("/duplicates")
    assert answer.status_code == 503
    assert str(collection.directory) not in answer.get_data(as_text=True)
