"""`POST /embed`: the vectors are those of the encoder, of as many texts and pictures as one request may bring."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from search.collection import Collection
from search.types import EncoderIdentity
from tests.colors import COLORS, ColorEncoder, unit_rows
from tests.test_web_api import error_of, picture
from web.app import create_app


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder) -> FlaskClient:
    return create_app([collection], lambda _model: encoder).test_client()


def encoded(color: str) -> str:
    return base64.b64encode(picture(color)).decode()


def rows(*colors: str) -> np.ndarray:
    return unit_rows(np.array([COLORS[color] for color in colors], float))


def test_texts_and_images_become_unit_rows_in_their_order(client: FlaskClient) -> None:
    body = {"texts": ["a red wall", "green"], "images": [encoded("blue"), encoded("red")]}
    answer = client.post("/api/v1/embed", json=body).get_json()
    assert {name: answer[name] for name in ("collection", "model", "dim")} == {
        "collection": "collection",
        "model": "colors",
        "dim": 4,
    }
    np.testing.assert_allclose(answer["texts"], rows("red", "green"), atol=1e-6)
    np.testing.assert_allclose(answer["images"], rows("blue", "red"), atol=1e-6)


def test_all_texts_of_a_request_go_through_the_tower_together(collection: Collection) -> None:
    class Noting(ColorEncoder):
        calls: ClassVar[list[list[str]]] = []

        def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self.calls.append(list(texts))
            return super().encode_texts(texts)

    encoder = Noting()
    client = create_app([collection], lambda _model: encoder).test_client()
    client.post("/api/v1/embed", json={"texts": ["red", "green", "blue"]})
    assert encoder.calls == [["red", "green", "blue"]]


def test_files_are_taken_from_a_form(client: FlaskClient) -> None:
    files = [(io.BytesIO(picture(color)), f"{color}.png") for color in ("green", "blue")]
    answer = client.post("/api/v1/embed", data={"images": files, "texts": ["red", "white"]}).get_json()
    np.testing.assert_allclose(answer["images"], rows("green", "blue"), atol=1e-6)
    np.testing.assert_allclose(answer["texts"], rows("red", "white"), atol=1e-6)


def test_an_embedding_finds_what_it_was_made_of(client: FlaskClient) -> None:
    (vector,) = client.post("/api/v1/embed", json={"texts": ["red"]}).get_json()["texts"]
    assert client.post("/api/v1/search", json={"terms": [{"vector": vector}]}).status_code == 200


def test_the_collection_chooses_the_model(collection: Collection, encoder: ColorEncoder, tmp_path: Path) -> None:
    class Other(ColorEncoder):
        identity = EncoderIdentity("others", "mean color", "1" * 64, 4, "8x8, squash")

    other = Collection.create(tmp_path / "other", Other.identity)
    encoders = {one.identity: one for one in (encoder, Other())}
    client = create_app([collection, other], encoders.__getitem__).test_client()
    answer = client.post("/api/v1/embed", json={"texts": ["red"], "collection": "other"}).get_json()
    assert (answer["collection"], answer["model"]) == ("other", "others")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("{}", 400, "0 texts and images; give 1 to 64"),
        (json.dumps({"texts": ["red"] * 65}), 400, "65 texts and images"),
        (json.dumps({"texts": ["red"] * 64, "images": [encoded("red")]}), 400, "65 texts and images"),
        ('{"texts": "red"}', 400, "give a list of strings"),
        ('{"texts": ["red", 5]}', 400, "texts[1] is 5; give a string"),
        ('{"texts": [" "]}', 400, "an empty text"),
        (json.dumps({"texts": ["a" * 1001]}), 400, "1,001 characters"),
        ('{"images": ["?"]}', 400, "images[0] is not base64"),
        (json.dumps({"images": [encoded("red"), "bm90IGEgcGljdHVyZQ=="]}), 400, "images[1]: not a picture"),
        ('{"texts": ["red"], "collection": "nowhere"}', 404, "nowhere"),
        ('{"texts": ["red"], "k": 5}', 400, "unknown field 'k'"),
        ("[]", 400, "JSON object like"),
    ],
)
def test_what_cannot_be_embedded_is_told(client: FlaskClient, body: str, status: int, told: str) -> None:
    answer = client.post("/api/v1/embed", data=body, content_type="application/json")
    assert error_of(answer)[0] == status
    assert told in answer.get_json()["error"]["message"]


def test_a_body_of_another_type_is_refused(client: FlaskClient) -> None:
    assert error_of(client.post("/api/v1/embed", data="red", content_type="text/plain"))[0] == 415
