"""`POST /classify` and `POST /score`: labels and pictures become the probabilities of the encoder's own classifier."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from search.classify import make_classifier
from search.collection import Collection
from search.prompts import templates_of
from tests.colors import COLORS, ColorEncoder, unit_rows
from tests.conftest import Build
from tests.test_web_api import error_of, id_of, picture
from web.app import create_app
from web.fetch import BadUrl

LABELS = ["red", "green", "blue"]


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    index(photos)
    encoder.texts.clear()
    return create_app([collection], lambda _model: encoder, fetch=internet).test_client()


def internet(url: str) -> bytes:
    if url.endswith(".html"):
        return b"words"
    if not url.endswith("/blue.png"):
        raise BadUrl("cannot be fetched")
    return picture("blue")


def encoded(color: str) -> str:
    return base64.b64encode(picture(color)).decode()


def expected(*colors: str) -> np.ndarray:
    """The probabilities of LABELS for pictures of these colors: softmax over 10 cosines, written out."""
    cosines = (
        unit_rows(np.array([COLORS[color] for color in colors], float))
        @ np.array(unit_rows(np.array([COLORS[label] for label in LABELS], float))).T
    )
    powers = np.exp(10 * cosines)
    return powers / powers.sum(axis=1, keepdims=True)


def test_files_and_images_by_id_are_classified_in_their_order(client: FlaskClient) -> None:
    body = {"images": [encoded("blue"), encoded("white")], "image_ids": [id_of(client, "green")], "labels": LABELS}
    answer = client.post("/api/v1/classify", json=body).get_json()
    assert (answer["collection"], answer["model"], answer["labels"]) == ("collection", "colors", LABELS)
    np.testing.assert_allclose(answer["probabilities"], expected("blue", "white", "green"), atol=1e-3)
    assert np.array(answer["logits_per_image"]).shape == (3, 3)
    np.testing.assert_array_equal(np.array(answer["logits_per_image"]).T, answer["logits_per_text"])
    assert answer["logits_per_image"][0][2] == pytest.approx(10, abs=1e-3)


def test_pictures_by_url_come_between_files_and_ids(client: FlaskClient) -> None:
    url = "https://example.org/blue.png"
    body = {"images": [encoded("white")], "urls": [url], "image_ids": [id_of(client, "green")], "labels": LABELS}
    answer = client.post("/api/v1/classify", json=body).get_json()
    np.testing.assert_allclose(answer["probabilities"], expected("white", "blue", "green"), atol=1e-3)
    form = {"images": (io.BytesIO(picture("red")), "a.png"), "urls": [url, url], "labels": LABELS}
    answer = client.post("/api/v1/classify", data=form).get_json()
    np.testing.assert_allclose(answer["probabilities"], expected("red", "blue", "blue"), atol=1e-3)


def test_a_form_takes_files(client: FlaskClient) -> None:
    files = [(io.BytesIO(picture(color)), f"{color}.png") for color in ("green", "blue")]
    form = {"images": files, "labels": LABELS, "image_ids": [str(id_of(client, "red"))]}
    answer = client.post("/api/v1/classify", data=form).get_json()
    np.testing.assert_allclose(answer["probabilities"], expected("green", "blue", "red"), atol=1e-3)


@pytest.mark.parametrize(
    ("templates", "meant"),
    [("imagenet", templates_of("imagenet")), (["a {}", "the white {}"], ("a {}", "the white {}"))],
    ids=["a set", "one's own"],
)
def test_templates_are_a_set_or_ones_own(
    client: FlaskClient, encoder: ColorEncoder, templates: Any, meant: tuple[str, ...]
) -> None:
    vectors = make_classifier(encoder, LABELS, meant).vectors
    logits = 10 * unit_rows(np.array([COLORS["red"]], float)) @ vectors.T
    bodies = (
        {"json": {"images": [encoded("red")], "labels": LABELS, "templates": templates}},
        {"data": {"images": (io.BytesIO(picture("red")), "a.png"), "labels": LABELS, "templates": templates}},
    )
    for body in bodies:
        answer = client.post("/api/v1/classify", **body).get_json()
        np.testing.assert_allclose(answer["logits_per_image"], logits, atol=1e-4)


def test_labels_go_through_the_tower_once_for_many_requests(client: FlaskClient, encoder: ColorEncoder) -> None:
    for color in ("red", "blue"):
        assert client.post("/api/v1/classify", json={"images": [encoded(color)], "labels": LABELS}).status_code == 200
    assert sorted(encoder.texts) == sorted(f"a photo of a {label}." for label in LABELS)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"labels": ["a"]}, 400, "0 images; give 1 to 64"),
        ({"labels": ["a"], "image_ids": [1] * 65}, 400, "65 images"),
        ({"image_ids": [1]}, 400, "no labels"),
        ({"image_ids": [1], "labels": ["a", " "]}, 400, "an empty label"),
        ({"image_ids": [1], "labels": ["a"] * 26, "templates": "imagenet"}, 400, "26 labels times 80 templates"),
        ({"image_ids": [1], "labels": ["a " * 90]}, 400, "tokens and the model reads 77; shorten the label"),
        ({"image_ids": [1], "labels": ["a"], "templates": "all"}, 400, "there are: plain, simple, imagenet"),
        ({"image_ids": [1], "labels": ["a"], "templates": ["a photo"]}, 400, "where the label goes"),
        ({"image_ids": [1], "labels": ["a"], "templates": []}, 400, "no templates"),
        ({"image_ids": 1, "labels": ["a"]}, 400, "image_ids is a list"),
        ({"image_ids": ["1"], "labels": ["a"]}, 400, "image_ids[0]"),
        ({"image_ids": [1, 99], "labels": ["a"]}, 404, "image_ids[1]: no image has the id 99"),
        ({"urls": ["https://example.org/gone.png"], "labels": ["a"]}, 400, "urls[0]: cannot be fetched"),
        ({"urls": ["https://example.org/blue.png"] * 5, "labels": ["a"]}, 400, "5 URLs; give 4 at most"),
        ({"urls": ["https://example.org/blue.png", 5], "labels": ["a"]}, 400, "urls[1] is 5; give a string"),
        ({"urls": ["https://example.org/words.html"], "labels": ["a"]}, 400, "urls[0]: not a picture"),
        ({"images": [encoded("red"), "bm8="], "labels": ["a"]}, 400, "images[1]: not a picture"),
    ],
)
def test_what_cannot_be_classified_is_told(client: FlaskClient, body: dict[str, Any], status: int, told: str) -> None:
    answer = client.post("/api/v1/classify", json=body)
    assert error_of(answer)[0] == status
    assert told in answer.get_json()["error"]["message"]


def table(*rows: list[Any], **others: Any) -> dict[str, Any]:
    return {"input_data": {"columns": ["image", "text"], "index": list(range(len(rows))), "data": rows, **others}}


def test_the_published_request_gets_the_published_answer(client: FlaskClient) -> None:
    """The labels are the first row's, in their order, as they stand there; base64 may be broken into lines."""
    broken = base64.encodebytes(picture("green")).decode()
    body = table(
        [encoded("red"), "red,  green , blue,"], [broken, ""], ["https://example.org/blue.png"], [broken, None]
    )
    answer = client.post("/api/v1/score", json=body)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    rows = json.loads(answer.data)
    assert [list(row) for row in rows] == [["probs", "labels"]] * 4
    assert [row["labels"] for row in rows] == [LABELS] * 4
    np.testing.assert_allclose([row["probs"] for row in rows], expected("red", "green", "blue", "green"), atol=1e-3)


def test_labels_of_the_published_format_are_the_texts(client: FlaskClient, encoder: ColorEncoder) -> None:
    client.post("/api/v1/score", json=table([encoded("red"), "a red wall, Grass"]))
    assert encoder.texts == ["a red wall", "Grass"]


def test_the_collection_of_the_published_format_stands_in_the_url(client: FlaskClient) -> None:
    body = table([encoded("red"), "red"])
    assert client.post("/api/v1/score?collection=collection", json=body).status_code == 200
    assert client.post("/api/v1/score?collection=nowhere", json=body).status_code == 404


GOOD = [encoded("red"), "red, green"]


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (table(GOOD, ["bm8=", ""]), "bad_picture", "data[1]: not a picture"),
        (table(GOOD, GOOD, ["?", ""]), "bad_query", "data[2]: the image is not base64"),
        (table(GOOD, [5, ""]), "bad_query", "data[1] is 5; give a string"),
        (table(GOOD, []), "bad_query", "data[1] is no list of an image and a text"),
        (table(GOOD, ["https://example.org/gone.png"]), "bad_url", "data[1]: cannot be fetched"),
        (table(GOOD, *[["https://example.org/blue.png"]] * 5), "bad_query", "5 URLs; give 4 at most"),
        (table([encoded("red")], GOOD), "bad_query", "data[0] has no labels"),
        (table([encoded("red"), " , "]), "bad_query", "data[0] has no labels"),
        (table([encoded("red"), 5]), "bad_query", "data[0] has no labels"),
        (table(), "bad_query", "data is a list of 1 to 64 rows"),
        (table(*[GOOD] * 65), "bad_query", "data is a list of 1 to 64 rows"),
        (table(GOOD, index=[0, 1]), "bad_query", "index is a list with one entry for each row"),
        (table(GOOD, columns=["text", "image"]), "bad_query", 'another list than ["image", "text"]'),
        ({"input_data": []}, "bad_query", "the body is a JSON object like"),
        ({}, "bad_query", "the body is a JSON object like"),
        ({"data": []}, "bad_query", "unknown field 'data'"),
    ],
)
def test_a_bad_row_is_named(client: FlaskClient, body: dict[str, Any], code: str, told: str) -> None:
    answer = client.post("/api/v1/score", json=body)
    assert error_of(answer) == (400, code)
    assert told in answer.get_json()["error"]["message"]


def test_urls_are_not_fetched_unless_that_is_allowed(collection: Collection, encoder: ColorEncoder) -> None:
    client = create_app([collection], lambda _model: encoder).test_client()
    answer = client.post("/api/v1/score", json=table(GOOD, ["https://example.org/blue.png"]))
    assert "data[1]: this server fetches no URLs" in answer.get_json()["error"]["message"]
    answer = client.post("/api/v1/classify", json={"urls": ["https://example.org/blue.png"], "labels": LABELS})
    assert "urls[0]: this server fetches no URLs" in answer.get_json()["error"]["message"]
