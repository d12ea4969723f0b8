"""`POST /lookup`: a picture is found under whatever name it comes."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from search.collection import Collection
from search.types import Root
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_web_api import error_of, id_of, picture
from web.app import create_app


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    return create_app([collection], lambda _model: encoder).test_client()


def candidates(answer: Any) -> list[tuple[str, str]]:
    return [(candidate["verdict"], candidate["image"]["name"]) for candidate in answer.get_json()["candidates"]]


def test_an_uploaded_copy_is_found_although_it_was_renamed(client: FlaskClient, photos: Path) -> None:
    copy = io.BytesIO((photos / "trip" / "blue.webp").read_bytes())
    answer = client.post("/api/v1/lookup", data={"image": (copy, "IMG_0001.jpg")})
    assert answer.status_code == 200
    assert answer.get_json()["found"] is True
    assert answer.get_json()["collection"] == "collection"
    assert candidates(answer)[0] == ("identical", "blue.webp")
    assert answer.get_json()["candidates"][0]["image"]["path"] == "trip/blue.webp"


def test_base64_and_ids_are_looked_up_too(client: FlaskClient, photos: Path) -> None:
    data = base64.b64encode((photos / "red.png").read_bytes()).decode()
    answer = client.post("/api/v1/lookup", json={"image": data, "k": 1})
    assert candidates(answer) == [("identical", "red.png")]
    assert answer.get_json()["candidates"][0]["score"] == 1
    answer = client.post("/api/v1/lookup", json={"image_id": id_of(client, "red")})
    assert sorted(candidates(answer)) == [("look-alike", "blue.webp"), ("look-alike", "green.bmp")]


def test_what_only_looks_like_it_is_not_found(client: FlaskClient) -> None:
    answer = client.post("/api/v1/lookup", data={"image": (io.BytesIO(picture("green")), "a.png"), "k": "1"})
    assert answer.get_json()["found"] is False
    assert candidates(answer) == [("look-alike", "green.bmp")]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, "give one of image, image_id, url, not none"),
        ({"image": "", "image_id": 1}, 400, "not image and image_id"),
        ({"image": "bm90IGEgcGljdHVyZQ=="}, 400, "not a picture"),
        ({"image": "?"}, 400, "image is not base64"),
        ({"image_id": "1"}, 400, "give a whole number"),
        ({"image_id": 99}, 404, "no image has the id 99"),
        ({"image_id": 10**30}, 404, "no image has the id"),
        ({"image_id": 1, "k": 0}, 400, "k is 0"),
        ({"image_id": 1, "collection": "nowhere"}, 404, "nowhere"),
        ({"image_id": 1, "target": "texts"}, 400, "unknown field 'target'"),
    ],
)
def test_what_cannot_be_looked_up_is_told(client: FlaskClient, body: dict[str, Any], status: int, told: str) -> None:
    answer = client.post("/api/v1/lookup", json=body)
    assert error_of(answer)[0] == status
    assert told in answer.get_json()["error"]["message"]


def test_a_form_without_a_picture_is_told(client: FlaskClient) -> None:
    assert "give a file" in client.post("/api/v1/lookup", data={"k": "1"}).get_json()["error"]["message"]
