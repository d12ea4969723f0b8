"""Who is answered: those with the token, under the server's own names, from pages of its own."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, build_opener, urlopen

import pytest
from flask.testing import FlaskClient

from search.collection import Collection
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_web_api import error_of
from tests.test_web_workers import NotFollowed, served
from web.access import LOOPBACK_NAMES, Access, is_token
from web.app import create_app

TOKEN = "a-token-of-some-length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def filled(collection: Collection, photos: Path, index: Build) -> Collection:
    index(photos)
    return collection


@pytest.fixture
def client(filled: Collection, encoder: ColorEncoder) -> FlaskClient:
    return create_app([filled], lambda _model: encoder, access=Access(token=TOKEN)).test_client()


@pytest.fixture
def local(filled: Collection, encoder: ColorEncoder) -> FlaskClient:
    """As it is served on this machine without a token."""
    access = Access(hosts=(*LOOPBACK_NAMES, "photos.example.org"))
    return create_app([filled], lambda _model: encoder, access=access).test_client()


def signed_in(client: FlaskClient) -> FlaskClient:
    assert client.post("/login", data={"token": TOKEN}).status_code == 303
    return client


def test_a_program_sends_the_token_in_a_header(client: FlaskClient) -> None:
    answer = client.get("/api/v1/search?q=red")
    assert error_of(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].split() == ["Bearer"]
    assert client.get("/api/v1/search?q=red", headers=BEARER).status_code == 200
    assert client.post("/api/v1/search", json={"terms": [{"text": "red"}]}, headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \u00e9", TOKEN, ""]
)
def test_another_header_is_not_the_token(client: FlaskClient, header: str) -> None:
    assert client.get("/api/v1/collections", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("url", ["/", "/search?q=red", "/images/1", "/status", "/media/images/1/original", "/nothing"])
def test_a_browser_is_led_to_the_login_and_back(client: FlaskClient, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code == 303
    login = answer.headers["Location"]
    assert login.startswith("/login?next=")
    (wanted,) = re.findall('name="next" value="([^"]*)"', client.get(login).get_data(as_text=True))
    answer = client.post("/login", data={"token": f" {TOKEN}\n", "next": wanted})
    assert answer.headers["Location"] == url
    with client.get(url) as page:
        assert page.status_code == (404 if url == "/nothing" else 200)


def test_open_without_the_token_is_only_what_shows_nothing(client: FlaskClient) -> None:
    for url in ("/login", f"{client.application.static_url_path}/base.css", "/api/v1/health"):
        with client.get(url) as answer:
            assert answer.status_code == 200
    for answer in (client.get("/login"), client.post("/login", data={"token": "x"}, headers={"Origin": "http://x"})):
        html = answer.get_data(as_text=True)
        assert "collection" not in html
        assert 'action="/search"' not in html
    for rule in client.application.url_map.iter_rules():
        if rule.endpoint not in ("auth.login", "auth.enter", "static", "api.health"):
            method = "GET" if "GET" in rule.methods else "POST"
            answer = client.open(re.sub("<[^>]*>", "1", rule.rule), method=method)
            assert answer.status_code in (303, 401), rule


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/status", "/api/v1/search?q=red"])
def test_programs_are_told_that_a_token_is_asked_for(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_wrong_token_is_told_on_the_same_page(client: FlaskClient) -> None:
    answer = client.post("/login", data={"token": "wrong", "next": "/status"})
    assert answer.status_code == 403
    assert "This is not the token." in answer.get_data(as_text=True)
    assert 'name="next" value="/status"' in answer.get_data(as_text=True)
    assert "Set-Cookie" not in answer.headers


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: FlaskClient) -> None:
    cookie = client.post("/login", data={"token": TOKEN}).headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    secure = client.post("/login", data={"token": TOKEN}, base_url="https://localhost").headers["Set-Cookie"]
    assert "Secure" in secure


def test_a_cookie_of_another_token_is_worth_nothing(
    client: FlaskClient, filled: Collection, encoder: ColorEncoder
) -> None:
    signed_in(client)
    other = create_app([filled], lambda _model: encoder, access=Access(token="another-token-of-length")).test_client()
    other.set_cookie("image_search", client.get_cookie("image_search").value)
    assert other.get("/").status_code == 303
    assert client.get("/").status_code == 200


def test_signing_out_ends_it(client: FlaskClient) -> None:
    signed_in(client)
    assert "Sign out" in client.get("/").get_data(as_text=True)
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/").status_code == 303


ELSEWHERE = ["https://example.org/", "//example.org", "/\\example.org", "\\/example.org", "/\t/x.org", "x:y", ""]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_the_login_never_leads_to_another_site(client: FlaskClient, elsewhere: str) -> None:
    answer = client.post("/login", data={"token": TOKEN, "next": elsewhere})
    assert answer.headers["Location"] == "/"
    assert client.get("/login", query_string={"next": elsewhere}).headers["Location"] == "/"


def test_without_a_token_there_is_no_login(local: FlaskClient) -> None:
    html = local.get("/").get_data(as_text=True)
    assert "Sign out" not in html
    assert local.get("/login").status_code == 404


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "photos.example.org"])
def test_the_server_answers_to_its_own_names(local: FlaskClient, host: str) -> None:
    assert local.get("/", headers={"Host": host}).status_code == 200


STRANGE = ["example.org", "127.0.0.1.example.org", "localhost.example.org", "x@localhost", "10.0.0.1", ""]


@pytest.mark.parametrize("host", STRANGE)
def test_under_another_name_nothing_is_shown(local: FlaskClient, host: str) -> None:
    page = local.get("/search?q=red", headers={"Host": host})
    assert page.status_code == 403
    assert page.mimetype == "text/plain"
    assert "--allow-host" in page.get_data(as_text=True)
    assert error_of(local.get("/api/v1/search?q=red", headers={"Host": host})) == (403, "forbidden")
    assert local.get("/nothing", headers={"Host": host}).status_code == 403


FOREIGN = [
    {"Origin": "https://example.org"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
]
OWN = [
    {},
    {"Origin": "http://localhost"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_site_changes_nothing(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/login", data={"token": TOKEN}, headers=headers).status_code == 403
    signed_in(client)
    assert client.post("/search", data={"q": "red"}, headers=headers).status_code == 403
    assert error_of(client.post("/api/v1/search", json={}, headers=headers)) == (403, "forbidden")
    assert client.post("/logout", headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_its_own_pages_and_programs_may_post(local: FlaskClient, headers: dict[str, str]) -> None:
    assert local.post("/search", data={"q": "red"}, headers=headers).status_code == 303
    assert local.post("/api/v1/search", json={"terms": [{"text": "red"}]}, headers=headers).status_code == 200


def test_the_server_asks_as_it_was_started(filled: Collection, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with served(filled, "--token-file", str(tmp_path / "token"), "--allow-host", "photos.example.org") as (_, url):
        form = f"token={TOKEN}".encode()
        proxied = {"Host": "photos.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        with build_opener(NotFollowed).open(Request(f"{url}login", form, proxied)) as answer:
            assert "Secure" in answer.headers["Set-Cookie"]
    with served(filled) as (_, url):
        with pytest.raises(HTTPError, match="403") as refused:
            urlopen(Request(url, headers={"Host": "example.org"}))
        refused.value.close()


def test_a_token_can_be_sent_and_not_be_guessed() -> None:
    assert is_token(TOKEN)
    assert not any(map(is_token, ("", "short", "with a space in it", "two\nlines-of-token", "\u00e9" * 20)))
