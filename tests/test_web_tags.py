"""Tags in the API and on the pages, what sensitive ones hide, and the labels nearest to an image."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from flask.testing import FlaskClient

from search.collection import Collection
from search.prompts import Label
from search.searcher import Searcher
from search.types import Root
from search.vocabulary import make_vocabulary
from tests.colors import COLORS, ColorEncoder, unit_rows
from tests.conftest import Build, paint
from tests.test_web_api import error_of, names, picture
from tests.test_web_pages import page, tiles
from web.app import create_app

LABELS = [Label("red"), Label("green"), Label("blue", sensitive=True)]
HIDDEN = {"blue.webp", "magenta.png"}


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    """Pictures of five colors, of which yellow and magenta have two tags; blue and magenta are hidden."""
    for color in ("yellow", "magenta"):
        paint(photos / f"{color}.png", color)
    (photos / "trip" / "blue.txt").write_text("blue water")
    (photos / "red.txt").write_text("a red wall")
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    collection.tag(make_vocabulary(encoder, LABELS, ["{}"], threshold=0.3))
    return create_app([collection], lambda _model: encoder).test_client()


@pytest.fixture
def ids(client: FlaskClient, collection: Collection) -> dict[str, int]:
    """File name -> id."""
    return {Path(path).name: known.id for path, known in collection.catalog.known_files("/").items()}


def probabilities(color: str) -> np.ndarray:
    """Those of LABELS for a picture of one color, written out."""
    colors = np.array([COLORS[name] for name in (color, "red", "green", "blue")], float)
    rows = unit_rows(colors)
    powers = np.exp(10 * rows[1:] @ rows[0])
    return powers / powers.sum()


def test_a_hit_has_the_tags_of_its_image(client: FlaskClient, ids: dict[str, int]) -> None:
    hits = client.get("/api/v1/search?q=yellow&k=3").get_json()["hits"]
    found = {hit["image"]["name"]: hit["image"]["tags"] for hit in hits}
    assert [tag["name"] for tag in found["yellow.png"]] == ["red", "green"]
    assert found["yellow.png"][0]["probability"] == pytest.approx(probabilities("yellow")[0], abs=1e-3)
    image = client.get(f"/api/v1/images/{ids['magenta.png']}").get_json()
    assert {tag["name"]: tag["sensitive"] for tag in image["tags"]} == {"red": False, "blue": True}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("green", {"green.bmp", "yellow.png"}),
        ("red, green", {"yellow.png"}),
        ("red", {"red.png", "yellow.png"}),
        ("blue", set()),
    ],
)
def test_searches_are_narrowed_by_tags_in_every_form(client: FlaskClient, tags: str, expected: set[str]) -> None:
    body = {"terms": [{"text": "white"}], "filter": {"tag": tags}}
    assert set(names(client.post("/api/v1/search", json=body))) == expected
    assert set(names(client.get("/api/v1/search", query_string={"q": "white", "tag": tags}))) == expected
    assert set(tiles(page(client, f"/search?q=white&tag={tags}"))) == expected


def test_a_tag_that_is_none_is_told(client: FlaskClient) -> None:
    answer = client.get("/api/v1/search?q=white&tag=red,grene")
    assert error_of(answer) == (400, "bad_query")
    assert "'grene'; there are: red, green, blue" in answer.get_json()["error"]["message"]
    assert "&#39;grene&#39;; there are: red, green, blue" in page(client, "/search?q=white&tag=grene", 400)


@pytest.mark.parametrize("path", ["search?q=white", "images/{}/similar?k=10"])
def test_images_with_a_sensitive_tag_are_no_hits_unless_shown(
    client: FlaskClient, ids: dict[str, int], path: str
) -> None:
    path = f"/api/v1/{path.format(ids['red.png'])}"
    everything = ids.keys() - ({"red.png"} if "similar" in path else set())
    assert set(names(client.get(path))) == everything - HIDDEN
    assert set(names(client.get(f"{path}&sensitive=hide"))) == everything - HIDDEN
    assert set(names(client.get(f"{path}&sensitive=show"))) == everything
    assert error_of(client.get(f"{path}&sensitive=perhaps")) == (400, "bad_query")
    assert set(names(client.get(f"{path}&sensitive=show&tag=blue"))) == everything & HIDDEN


def test_texts_of_hidden_images_are_no_hits_either(client: FlaskClient, ids: dict[str, int]) -> None:
    for path in ("search?q=white&target=texts", f"images/{ids['red.png']}/texts?k=5"):
        found = client.get(f"/api/v1/{path}").get_json()["hits"]
        assert [hit["text"] for hit in found] == ["a red wall"]
        assert len(client.get(f"/api/v1/{path}&sensitive=show").get_json()["hits"]) == 2


def test_a_lookup_tells_of_copies_whatever_they_show_and_hides_look_alikes(
    client: FlaskClient, ids: dict[str, int], photos: Path
) -> None:
    def verdicts(**others: str) -> dict[str, str]:
        image = base64.b64encode((photos / "magenta.png").read_bytes()).decode()
        candidates = client.post("/api/v1/lookup", json={"image": image, **others}).get_json()["candidates"]
        form = {"image": (io.BytesIO((photos / "magenta.png").read_bytes()), "a.png"), **others}
        assert client.post("/api/v1/lookup", data=form).get_json()["candidates"] == candidates
        return {candidate["image"]["name"]: candidate["verdict"] for candidate in candidates}

    assert verdicts()["magenta.png"] == "identical"
    assert verdicts().keys() == ids.keys() - {"blue.webp"}
    assert verdicts(sensitive="show").keys() == ids.keys()
    by_id = client.post("/api/v1/lookup", json={"image_id": ids["red.png"]}).get_json()["candidates"]
    assert {candidate["image"]["name"] for candidate in by_id} == {"green.bmp", "yellow.png"}


def test_who_has_the_id_gets_the_image(client: FlaskClient, ids: dict[str, int]) -> None:
    links = client.get(f"/api/v1/images/{ids['blue.webp']}").get_json()["links"]
    for link in (links["page"], links["original"], links["thumbnails"][0]):
        with client.get(link) as answer:
            assert answer.status_code == 200


def test_pages_show_no_hidden_image_unless_asked(client: FlaskClient, ids: dict[str, int]) -> None:
    assert set(tiles(page(client, "/"))) == ids.keys() - HIDDEN
    html = page(client, f"/images/{ids['magenta.png']}")
    assert set(tiles(html)) == ids.keys() - HIDDEN
    assert "Searches hide this picture" in html
    assert "blue water" not in html
    html = page(client, f"/images/{ids['magenta.png']}?sensitive=show")
    assert set(tiles(html)) == ids.keys() - {"magenta.png"}
    assert "blue water" in html
    assert f'href="/images/{ids["blue.webp"]}?sensitive=show"' in html
    assert '<input type="hidden" name="sensitive" value="show">' in html
    results = page(client, "/search?q=white&sensitive=show")
    assert f'href="/images/{ids["blue.webp"]}?sensitive=show"' in results


def test_a_collection_whose_images_are_all_hidden_says_so(
    collection: Collection, encoder: ColorEncoder, client: FlaskClient
) -> None:
    labels = [Label("one", ("red",), sensitive=True), Label("two", ("red",))]
    collection.tag(make_vocabulary(encoder, labels, ["{}"]))
    assert "No pictures to show" in page(client, "/")
    html = page(client, "/search?q=white")
    assert "Pictures with a sensitive tag are hidden" in html
    (link,) = re.findall(r'<a href="([^"]+)">Show them too', html)
    assert len(tiles(page(client, unescape(link)))) == 5


def test_tags_lead_to_a_search_by_them(client: FlaskClient, ids: dict[str, int]) -> None:
    html = page(client, f"/images/{ids['magenta.png']}")
    section = re.search(r'<ul class="tags">(.*?)</ul>', html, re.DOTALL)
    links = {text: unescape(link) for link, text in re.findall(r'href="([^"]+)"[^>]*>(\w+)', section[1])}
    assert {name: parse_qs(urlsplit(link).query) for name, link in links.items()} == {
        "red": {"q": ["red"], "tag": ["red"]},
        "blue": {"q": ["blue"], "tag": ["blue"], "sensitive": ["show"]},
    }
    assert set(tiles(page(client, links["red"]))) == {"red.png", "yellow.png"}
    assert set(tiles(page(client, links["blue"]))) == HIDDEN


def test_the_form_offers_the_tags_that_are_not_sensitive(
    client: FlaskClient, collection: Collection, encoder: ColorEncoder
) -> None:
    html = page(client, "/search?q=white")
    assert re.findall(r"<option>(\w+)</option>", html) == ["green", "red"]
    assert '<select name="sensitive">' in html
    collection.catalog.tags.clear()
    html = page(client, "/search?q=white")
    assert 'name="tag"' not in html
    assert 'name="sensitive"' not in html


def test_the_status_page_tells_of_tags(client: FlaskClient) -> None:
    html = page(client, "/status")
    assert "3 labels" in html
    assert "5 pictures with a tag, 2 hidden by a sensitive one" in html


def test_the_nearest_labels_of_an_image_are_those_of_the_collection(client: FlaskClient, ids: dict[str, int]) -> None:
    for ask in (client.get, lambda url: client.post(url, json={})):
        answer = ask(f"/api/v1/images/{ids['yellow.png']}/texts").get_json()
        wanted = probabilities("yellow")
        assert [near["label"] for near in answer["labels"]] == ["red", "green", "blue"]
        assert [near["probability"] for near in answer["labels"]] == pytest.approx(sorted(wanted)[::-1], abs=1e-3)
        assert [hit["text"] for hit in answer["hits"]] == ["a red wall"]
    html = page(client, f"/images/{ids['red.png']}")
    assert re.findall(r'<ul class="nearest">.*?</ul>', html, re.DOTALL)[-1].count("<li>") == 2
    assert "Other labels near it" in html


def test_the_nearest_labels_of_an_image_may_be_those_of_the_request(
    client: FlaskClient, ids: dict[str, int], encoder: ColorEncoder, searcher: Searcher
) -> None:
    body = {"labels": ["white", "cyan", "black"], "templates": ["a {} wall"], "k": 2}
    answer = client.post(f"/api/v1/images/{ids['green.bmp']}/texts", json=body).get_json()
    rows = unit_rows(np.array([COLORS[name] for name in ("green", "white", "cyan", "black")], float))
    scores = rows[1:] @ rows[0]
    powers = np.exp(10 * scores)
    assert [near["label"] for near in answer["labels"]] == ["cyan", "white"]
    assert [near["score"] for near in answer["labels"]] == pytest.approx(scores[[1, 0]].tolist(), abs=1e-3)
    assert [near["probability"] for near in answer["labels"]] == pytest.approx(
        (powers / powers.sum())[[1, 0]].tolist(), abs=1e-3
    )
    assert len(answer["hits"]) == 1


def test_a_collection_without_labels_has_none_near(client: FlaskClient, collection: Collection) -> None:
    collection.catalog.tags.clear()
    assert client.get("/api/v1/images/1/texts").get_json()["labels"] == []
    assert "labels near it" not in page(client, "/images/1")


@pytest.mark.parametrize(
    ("image_id", "body", "status", "told"),
    [
        (99, {"labels": ["a"]}, 404, "no image has the id 99"),
        (1, {"labels": "a"}, 400, "labels is"),
        (1, {"labels": ["a", " "]}, 400, "an empty label"),
        (1, {"labels": ["a"], "templates": "all"}, 400, "there are: plain"),
        (1, {"labels": ["a"] * 2001}, 400, "2001 labels times 1 templates"),
        (1, {"k": 0}, 400, "k is 0"),
        (1, {"filter": {"sensitive": "yes"}}, 400, "sensitive is 'yes'; choose one of hide, show"),
        (1, {"vocabulary": []}, 400, "unknown field 'vocabulary'"),
    ],
)
def test_what_labels_cannot_be_compared_is_told(
    client: FlaskClient, image_id: int, body: dict[str, Any], status: int, told: str
) -> None:
    answer = client.post(f"/api/v1/images/{image_id}/texts", json=body)
    assert error_of(answer)[0] == status
    assert told in answer.get_json()["error"]["message"]


def test_a_picture_may_still_be_searched_with(client: FlaskClient) -> None:
    form = {"image": (io.BytesIO(picture("blue")), "a.png")}
    assert set(names(client.post("/api/v1/search", data=form))) == {"red.png", "green.bmp", "yellow.png"}
