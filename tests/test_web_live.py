"""The app under what may happen to it: builds while it answers, and bodies that mean harm."""

from __future__ import annotations

import io
import threading
import zlib
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image

from search.collection import Collection
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from tests.test_web_api import error_of, names, picture
from web.app import create_app
from web.uploads import Uploads

URLS = ("/api/v1/search?q=cyan", "/search?q=red", "/", "/images/1", "/status", "/api/v1/images/1/similar")


def test_no_request_fails_while_builds_run_and_new_images_come_without_a_restart(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    app = create_app([Collection.open(collection.directory)], lambda _model: encoder)
    done, answers = threading.Event(), []

    def ask(url: str) -> None:
        client = app.test_client()
        while not done.is_set():
            answers.append((url, client.get(url).status_code))

    clients = [threading.Thread(target=ask, args=(url,)) for url in URLS]
    for client in clients:
        client.start()
    for number in range(12):
        paint(photos / f"{number}.png", "cyan", (20 + number, 16))
        index(photos)
        assert f"{number}.png" in names(app.test_client().get("/api/v1/search?q=cyan&k=50"))
    done.set()
    for client in clients:
        client.join()
    assert {status for _, status in answers} == {200}
    assert {url for url, _ in answers} == set(URLS)


def png(width: int, height: int) -> bytes:
    """The head of a PNG that says it is so large, and a little data."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


BODIES = {
    "nothing": b"",
    "text": b"hello",
    "markup": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "half a picture": picture("red", (64, 64))[:60],
    "a bomb": png(60_000, 60_000),
    "a wide bomb": png(2**31 - 1, 1),
    "a zip": b"PK\x03\x04" + bytes(200),
}


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, tmp_path: Path) -> FlaskClient:
    index(photos)
    return create_app([collection], lambda _model: encoder, uploads=Uploads(tmp_path / "uploads")).test_client()


@pytest.mark.parametrize("path", ["/search", "/api/v1/search", "/api/v1/lookup", "/api/v1/embed"])
@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_picture_is_refused_and_leaves_nothing_behind(
    client: FlaskClient, tmp_path: Path, name: str, path: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    field = "images" if path.endswith("embed") else "image"
    answer = client.post(path, data={field: (io.BytesIO(BODIES[name]), "a.png")})
    assert answer.status_code == 400
    if path.startswith("/api"):
        assert error_of(answer)[1] in ("bad_picture", "bad_query")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["/search", "/api/v1/search", "/api/v1/lookup", "/api/v1/embed"])
def test_a_body_of_100_megabytes_is_refused_and_leaves_nothing_behind(
    client: FlaskClient, tmp_path: Path, path: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = head + bytes(100_000_000) + b"\r\n--x--\r\n"
    answer = client.post(path, data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 413
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["/", "/search", "/images/1", "/nowhere", "/api/v1/search", "/api/v1/health"])
def test_a_query_that_is_no_text_is_refused(client: FlaskClient, path: str) -> None:
    answer = client.get(path, environ_overrides={"QUERY_STRING": "q=red\x80"})
    assert answer.status_code == 400
    assert "not UTF-8: byte 5" in answer.get_data(as_text=True).replace("&#39;", "'")
