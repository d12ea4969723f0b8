"""Too many requests of one client are refused; pictures, scripts and other clients are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from search.collection import Collection
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_web_api import error_of
from web.__main__ import access_of, main, parser
from web.access import Access
from web.app import create_app


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    index(photos)
    access = Access(token="a-token-of-some-length", rate="3/hour")
    return create_app([collection], lambda _model: encoder, access=access).test_client()


def test_a_client_is_refused_until_its_time_is_over(client: FlaskClient) -> None:
    headers = {"Authorization": "Bearer a-token-of-some-length"}
    for url in ("/api/v1/search?q=red", "/search?q=red", "/"):
        assert client.get(url, headers=headers).status_code == 200
    refused = client.get("/api/v1/search?q=red", headers=headers)
    assert error_of(refused) == (429, "too_many_requests")
    assert "3 per 1 hour" in refused.get_json()["error"]["message"]
    assert 3500 < int(refused.headers["Retry-After"]) <= 3601
    assert "try again in" in client.get("/status", headers=headers).get_data(as_text=True)
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}
    assert client.get("/", headers=headers, environ_base=elsewhere).status_code == 200


def test_what_pages_are_made_of_is_not_counted(client: FlaskClient) -> None:
    headers = {"Authorization": "Bearer a-token-of-some-length"}
    static = f"{client.application.static_url_path}/base.css"
    for url in (static, "/media/images/1/thumbnail/448", "/api/v1/health", "/metrics"):
        for _ in range(5):
            with client.get(url, headers=headers) as answer:
                assert answer.status_code == 200


def test_tokens_cannot_be_guessed_faster(client: FlaskClient) -> None:
    answers = [client.post("/login", data={"token": "guess"}).status_code for _ in range(4)]
    assert answers == [403, 403, 403, 429]


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ([], None),
        (["--host", "0.0.0.0", "--insecure"], "300/minute"),
        (["--rate-limit", "10/second"], "10/second"),
        (["--host", "0.0.0.0", "--insecure", "--rate-limit", "off"], None),
        (["--allow-host", "photos.example.org"], "300/minute"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_there_is_a_limit_where_others_can_ask(options: list[str], rate: str | None) -> None:
    assert access_of(parser().parse_args(options), None).rate == rate


@pytest.mark.parametrize("rate", ["many", "0/minute", "10/fortnight", ""])
def test_a_rate_that_is_none_is_wrong_usage(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--rate-limit", rate])
    assert "such as 300/minute" in capsys.readouterr().err
