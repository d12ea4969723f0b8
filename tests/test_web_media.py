"""Pictures over HTTP: by id only, in their real type, upright, and small ones made once."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageOps

from search.collection import Collection
from search.image import decode_picture
from search.types import Picture
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from web import media
from web.app import create_app
from web.current import library_of


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    exif = Image.Exif()
    exif[0x0112] = 6
    halves = Image.new("RGB", (1600, 800), "red")
    halves.paste("blue", (0, 0, 800, 800))
    halves.save(photos / "turned.jpg", exif=exif)
    paint(photos / "magenta.tiff", "magenta")
    index(photos)
    return create_app([collection], lambda _model: encoder).test_client()


def links(client: FlaskClient, name: str) -> dict[str, str]:
    hits = client.get("/api/v1/search?q=red&k=100").get_json()["hits"]
    found = next(hit["image"]["links"] for hit in hits if hit["image"]["name"] == name)
    small, *_ = found["thumbnails"]
    return {"original": found["original"], "thumbnail": small, "large": found["thumbnails"][-1]}


def test_an_original_is_sent_as_it_is(client: FlaskClient, photos: Path) -> None:
    with client.get(links(client, "red.png")["original"]) as answer:
        assert answer.data == (photos / "red.png").read_bytes()
        assert answer.mimetype == "image/png"
        assert answer.headers["Content-Disposition"] == "inline; filename=red.png"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_what_a_build_took_in_over_the_limit_is_shown(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.records.MAX_PIXELS", 100)
    for name, link in (("red.png", "thumbnail"), ("magenta.tiff", "original")):
        with client.get(links(client, name)[link]) as answer:
            assert answer.status_code == 200


def test_an_original_that_browsers_do_not_show_becomes_a_jpeg(client: FlaskClient) -> None:
    with client.get(links(client, "magenta.tiff")["original"]) as answer:
        assert answer.mimetype == "image/jpeg"
        assert "magenta.jpg" in answer.headers["Content-Disposition"]
        assert Image.open(io.BytesIO(answer.data)).size == (24, 16)


def test_a_thumbnail_is_upright_and_has_the_size_it_is_named_for(client: FlaskClient, photos: Path) -> None:
    upright = ImageOps.exif_transpose(Image.open(photos / "turned.jpg"))
    for size, link in ((448, links(client, "turned.jpg")["thumbnail"]), (1600, links(client, "turned.jpg")["large"])):
        with client.get(link) as answer:
            small = Image.open(io.BytesIO(answer.data)).convert("RGB")
            assert answer.mimetype == "image/webp"
        assert small.size == (size // 2, size), "the largest is no larger than the picture"
        for point in ((0.5, 0.1), (0.5, 0.9)):
            expected = upright.getpixel((int(point[0] * upright.width), int(point[1] * upright.height)))
            actual = small.getpixel((int(point[0] * small.width), int(point[1] * small.height)))
            assert actual == pytest.approx(expected, abs=12)


def test_a_thumbnail_is_made_once_and_kept_by_the_browser(
    client: FlaskClient, collection: Collection, photos: Path
) -> None:
    link = links(client, "red.png")["thumbnail"]
    with client.get(link) as first:
        assert "immutable" in first.headers["Cache-Control"]
        etag, data = first.headers["ETag"], first.data
    assert len(list((collection.directory / "thumbnails").rglob("*.webp"))) == 1
    (photos / "red.png").unlink()
    with client.get(link) as again:
        assert again.data == data
    with client.get(link, headers={"If-None-Match": etag}) as unchanged:
        assert unchanged.status_code == 304
    with client.get(link.partition("?")[0]) as unnamed:
        assert "immutable" not in unnamed.headers["Cache-Control"]


def test_thumbnails_go_with_their_images(
    client: FlaskClient, collection: Collection, photos: Path, index: Build
) -> None:
    def kept() -> set[str]:
        return {file.name for file in (collection.directory / "thumbnails").rglob("*.webp")}

    shelf = library_of(client.application).default
    for size in ("thumbnail", "large"):
        assert client.get(links(client, "turned.jpg")[size]).status_code == 200
    gone = kept()
    assert client.get(links(client, "red.png")["thumbnail"]).status_code == 200
    shelf.sweep()
    assert len(kept()) == 3
    (photos / "turned.jpg").unlink()
    index(photos)
    shelf.sweep()
    assert len(kept()) == 1
    assert not kept() & gone


def test_a_damaged_thumbnail_is_made_again(client: FlaskClient, collection: Collection) -> None:
    link = links(client, "red.png")["thumbnail"]
    with client.get(link) as answer:
        data = answer.data
    (file,) = (collection.directory / "thumbnails").rglob("*.webp")
    kept = file.read_bytes()
    flipped = bytearray(kept)
    flipped[len(kept) // 2] ^= 4
    for damaged in (b"", kept[:-1], kept[:20], bytes(flipped)):
        file.write_bytes(damaged)
        with client.get(link) as answer:
            assert answer.data == data
        assert file.read_bytes() == kept


def test_a_thumbnail_is_served_where_nothing_can_be_written(client: FlaskClient, collection: Collection) -> None:
    (collection.directory / "thumbnails").write_text("in the way")
    with client.get(links(client, "red.png")["thumbnail"]) as answer:
        assert answer.status_code == 200


def test_a_file_that_is_gone_is_not_found(client: FlaskClient, photos: Path) -> None:
    found = {**links(client, "red.png"), "converted": links(client, "magenta.tiff")["original"]}
    (photos / "red.png").unlink()
    (photos / "magenta.tiff").unlink()
    for link in found.values():
        answer = client.get(link)
        assert answer.status_code == 404
        assert str(photos) not in answer.get_data(as_text=True)


def test_a_file_that_became_something_else_stays_a_picture_to_browsers(client: FlaskClient, photos: Path) -> None:
    found = links(client, "red.png")
    (photos / "red.png").write_text("<script>alert(1)</script>")
    with client.get(found["original"]) as answer:
        assert answer.mimetype == "image/png"
    assert client.get(found["thumbnail"]).status_code == 404


def test_files_of_the_page_are_kept_for_as_long_as_they_are_these(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    urls = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(urls) == 6
    for url in urls:
        with client.get(url) as answer:
            assert answer.headers["Cache-Control"] == media.FOR_GOOD
    with client.get(f"{client.application.static_url_path}/nothing.css") as answer:
        assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "private, no-cache")
    with client.get("/static/0123456789abcdef/base.css") as answer:
        assert answer.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/media/images/99999/original",
        "/media/images/99999/thumbnail/448",
        "/media/images/1/thumbnail/9999",
        "/media/images/..%2f..%2fetc%2fpasswd/original",
        "/media/images/red.png/original",
        "/media/uploads/nothing",
        "/static/..%2f..%2fpyproject.toml",
        "/static/../app.py",
        "{static}/..%2f..%2fpyproject.toml",
        "{static}/../app.py",
    ],
)
def test_nothing_is_served_by_path(client: FlaskClient, path: str) -> None:
    assert client.get(path.format(static=client.application.static_url_path)).status_code == 404


def test_a_name_that_no_header_can_hold_is_written_so_that_it_can(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    paint(photos / "plain.png", "cyan").rename(photos / 'caf\u00e9 \udcff\n".png')
    index(photos)
    client = create_app([collection], lambda _model: encoder).test_client()
    image = client.get("/api/v1/search?q=cyan&k=1").get_json()["hits"][0]["image"]
    with client.get(image["links"]["original"]) as answer:
        assert answer.status_code == 200
        assert "\n" not in answer.headers["Content-Disposition"]
    assert client.get(image["links"]["page"]).status_code == 200


def test_originals_that_are_converted_are_decoded_a_few_at_once(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, most = links(client, "magenta.tiff")["original"], os.cpu_count() or 1
    decoding, at_once, counting = 0, 0, threading.Lock()

    def decode(data: bytes, **options: Any) -> Picture:
        nonlocal decoding, at_once
        with counting:
            decoding += 1
            at_once = max(at_once, decoding)
        time.sleep(0.05)
        picture = decode_picture(data, **options)
        with counting:
            decoding -= 1
        return picture

    def ask(_: int) -> int:
        with client.application.test_client().get(link) as answer:
            return answer.status_code

    monkeypatch.setattr(media, "decode_picture", decode)
    with ThreadPoolExecutor(4 * most) as threads:
        assert set(threads.map(ask, range(4 * most))) == {200}
    assert at_once <= most
