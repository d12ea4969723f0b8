"""Where pictures were taken, which is told to their owner and not to everyone who may search."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from search.collection import Collection
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.__main__ import access_of, parser
from web.access import Access
from web.app import create_app


@pytest.fixture
def of_vienna(collection: Collection, photos: Path, index: Build) -> Collection:
    exif = Image.Exif()
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place.update({1: "N", 2: (48.0, 12.0, 0.0), 3: "E", 4: (16.0, 22.0, 0.0)})
    Image.new("RGB", (64, 48), "red").save(photos / "vienna.jpg", exif=exif)
    index(photos)
    return collection


def client_of(collection: Collection, encoder: ColorEncoder, *, places: bool) -> FlaskClient:
    return create_app([collection], lambda _model: encoder, access=Access(places=places)).test_client()


def vienna(client: FlaskClient) -> dict[str, dict]:
    hits = client.get("/api/v1/search?q=red&k=100").get_json()["hits"]
    return next(hit["image"] for hit in hits if hit["image"]["name"] == "vienna.jpg")


def places_in(file: bytes) -> dict[int, object]:
    return dict(Image.open(io.BytesIO(file)).getexif().get_ifd(ExifTags.IFD.GPSInfo))


def test_who_may_know_is_told_the_place(of_vienna: Collection, encoder: ColorEncoder) -> None:
    client = client_of(of_vienna, encoder, places=True)
    image = vienna(client)
    assert (image["facts"]["latitude"], image["facts"]["longitude"]) == pytest.approx((48.2, 16.36667), abs=1e-4)
    assert "48.20000, 16.36667" in client.get(image["links"]["page"]).text
    with client.get(image["links"]["original"]) as answer:
        assert places_in(answer.data)
    assert len(client.get("/api/v1/search?q=red&where=near:48.2,16.37,5km").get_json()["hits"]) == 1


def test_who_may_not_is_told_it_nowhere(of_vienna: Collection, encoder: ColorEncoder) -> None:
    client = client_of(of_vienna, encoder, places=False)
    image = vienna(client)
    assert (image["facts"]["latitude"], image["facts"]["longitude"]) == (None, None)
    assert "48.2" not in client.get(image["links"]["page"]).text
    with client.get(image["links"]["original"]) as answer:
        assert Image.open(io.BytesIO(answer.data)).size == (64, 48)
        assert not places_in(answer.data)
    assert 'name="place"' not in client.get("/search?q=red").text
    for asked in ("where=near:48.2,16.37,5km", "where=-near:48.2,16.37,5km", "place=yes", "where=place:no"):
        answer = client.get(f"/api/v1/search?q=red&{asked}")
        assert answer.status_code == 400
        assert "--show-places" in answer.get_json()["error"]["message"]
    answer = client.post("/api/v1/search", json={"terms": [{"text": "red"}], "filter": {"place": True}})
    assert "--show-places" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_place_in_xmp_alone_is_not_told_either(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, suffix: str
) -> None:
    xmp = b'<x:xmpmeta><rdf:Description exif:GPSLatitude="48,12.0N" exif:GPSLongitude="16,22.0E"/></x:xmpmeta>'
    told = PngInfo()
    told.add_itxt("XML:com.adobe.xmp", xmp.decode())
    options = {"pnginfo": told} if suffix == "png" else {"xmp": xmp}
    Image.new("RGB", (64, 48), "red").save(photos / f"vienna.{suffix}", **options)  # type: ignore[arg-type]
    index(photos)
    (known,) = collection.catalog.known_files(f"{photos}/vienna.{suffix}").values()
    for places in (True, False):
        client = client_of(collection, encoder, places=places)
        with client.get(f"/media/images/{known.id}/original") as answer:
            assert (answer.status_code, b"48,12.0N" in answer.data) == (200, places)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], True),
        (["--host", "0.0.0.0", "--insecure"], False),
        (["--allow-host", "photos.example.org"], False),
        (["--host", "0.0.0.0", "--insecure", "--show-places"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_others_are_told_where_the_command_line_says_so(options: list[str], told: bool) -> None:
    assert access_of(parser().parse_args(options), None).places is told
