"""Rows that came without their files: pages and API show a placeholder, and no file is opened for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.paths import read_file
from search.types import Facts, Root
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from tests.test_web_pages import page
from web.app import create_app


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return paint(tmp_path / "secret.png", "yellow")


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, secret: Path) -> FlaskClient:
    index(photos)
    vectors = encoder.encode_texts(["yellow", "black"]).astype("<f4")
    told = Facts(24, 16, "PNG", caption="a yellow wall")
    added = [
        NewImage(FileStamp(str(secret), 0, 0), b"", told, vectors[0]),
        NewImage(FileStamp("set/black.jpg", 0, 0), b"", Facts(0, 0, ""), vectors[1]),
    ]
    collection.catalog.apply(Changes(added=added))
    collection.publish()
    return create_app([collection], lambda _model: encoder).test_client()


@pytest.mark.parametrize(("color", "name"), [("yellow", "secret.png"), ("black", "set/black.jpg")])
def test_a_row_without_a_picture_has_a_placeholder_and_no_original(client: FlaskClient, color: str, name: str) -> None:
    image = client.get(f"/api/v1/search?q={color}&k=1").get_json()["hits"][0]["image"]
    assert (image["path"], image["links"]["original"]) == (name, None)
    for link in image["links"]["thumbnails"]:
        with client.get(link) as answer:
            assert (answer.mimetype, answer.data[:4]) == ("image/svg+xml", b"<svg")
    answer = client.get(f"/media/images/{image['id']}/original")
    assert answer.status_code == 404
    assert "imported without its file" in answer.get_data(as_text=True)
    assert client.get(f"/api/v1/images/{image['id']}").get_json()["size_bytes"] is None
    html = page(client, f"/images/{image['id']}")
    assert "mported without its picture" in html
    assert "Open original" not in html


def test_pages_and_the_api_say_what_is_known_of_it(client: FlaskClient) -> None:
    html = page(client, "/search?q=black")
    assert "set/black.jpg" in html or "black.jpg" in html
    facts = client.get("/api/v1/search?q=black&k=1").get_json()["hits"][0]["image"]["facts"]
    assert (facts["width"], facts["height"], facts["format"]) == (None, None, None)
    yellow = client.get("/api/v1/search?q=yellow&k=1").get_json()["hits"][0]["image"]
    assert "a yellow wall" in page(client, f"/images/{yellow['id']}")
    assert page(client, "/")


def test_unknown_sizes_and_formats_satisfy_no_filter(client: FlaskClient) -> None:
    assert client.get("/api/v1/search?q=black&orientation=square").get_json()["hits"] == []
    assert '<option value=""></option>' not in page(client, "/search?q=black")


def test_rows_whose_bytes_nobody_knows_are_no_copies_of_each_other(client: FlaskClient) -> None:
    found = client.get("/api/v1/search?q=black&k=1").get_json()["hits"][0]["image"]["id"]
    assert client.post("/api/v1/lookup", json={"image_id": found}).get_json()["found"] is False


def test_a_path_that_climbs_out_of_a_followed_folder_of_a_store_is_not_opened(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, secret: Path
) -> None:
    index(photos)
    root = Root(f"file://{photos}")
    facts, vector = Facts(24, 16, "PNG"), encoder.encode_texts(["yellow"]).astype("<f4")[0]
    climbing = FileStamp(f"{root.path}/../{secret.name}", 0, 0)
    collection.catalog.follow([root])
    collection.catalog.apply(Changes(added=[NewImage(climbing, b"", facts, vector)]))
    assert read_file(climbing.path) == secret.read_bytes()
    (known,) = collection.catalog.known_files(root.path).values()
    with create_app([collection], lambda _model: encoder).test_client() as client:
        assert client.get(f"/media/images/{known.id}/original").status_code == 404
