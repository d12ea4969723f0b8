"""The API: what a program asks over HTTP is what the searcher answers, and every error has the same body."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy import event

from search.collection import Collection
from search.errors import ModelUnavailable
from search.prompts import Label
from search.query import TextTerm
from search.searcher import Searcher
from search.types import EncoderIdentity, Root
from search.vocabulary import make_vocabulary
from tests.colors import COLORS, ColorEncoder
from tests.conftest import Build, paint
from web.app import MAX_UPLOAD_BYTES, create_app
from web.current import library_of


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    (photos / "red.txt").write_text("a red wall")
    (photos / "trip" / "blue.txt").write_text("blue water")
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    return create_app([collection], lambda _model: encoder).test_client()


def picture(color: str, size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, COLORS[color]).save(out, "PNG")
    return out.getvalue()


def names(answer: Any) -> list[str]:
    return [hit["image"]["name"] for hit in answer.get_json()["hits"]]


def id_of(client: FlaskClient, color: str) -> int:
    image_id: int = client.get("/api/v1/search", query_string={"q": color}).get_json()["hits"][0]["image"]["id"]
    return image_id


def test_a_text_asks_the_catalog_twice_and_once_more_where_images_have_tags(
    client: FlaskClient, collection: Collection, encoder: ColorEncoder
) -> None:
    statements: list[str] = []

    @event.listens_for(collection.catalog._engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        statements.append(statement.partition(",")[0])

    def tags(asked: list[str]) -> list[list[str]]:
        client.get("/api/v1/search?q=red&k=2")  # what is kept until tags change is read
        statements.clear()
        found = client.get("/api/v1/search?q=red&k=2").get_json()["hits"]
        assert statements == asked
        return [[tag["name"] for tag in hit["image"]["tags"]] for hit in found]

    assert tags(["SELECT state.changes", "SELECT images.id"]) == [[], []]
    collection.tag(make_vocabulary(encoder, (Label("red"), Label("blue")), ["{}"]))
    assert tags(["SELECT state.changes", "SELECT images.id", "SELECT tags.image_id"])[0] == ["red"]


def test_a_text_finds_its_picture_first(client: FlaskClient) -> None:
    answer = client.get("/api/v1/search?q=blue&k=2")
    assert answer.status_code == 200
    assert names(answer)[0] == "blue.webp"
    body = answer.get_json()
    assert {name: body[name] for name in ("collection", "target", "k")} == {
        "collection": "collection",
        "target": "images",
        "k": 2,
    }
    assert len(body["hits"]) == 2


def test_a_hit_has_the_score_and_the_facts_of_the_searcher(client: FlaskClient, searcher: Searcher) -> None:
    (hit,) = client.get("/api/v1/search?q=red&k=1").get_json()["hits"]
    (expected,) = searcher.by_text("red", k=1)
    assert hit["score"] == pytest.approx(expected.score)
    assert hit["image"]["facts"] == expected.to_dict()["facts"]


def test_no_answer_shows_where_the_files_are(client: FlaskClient, photos: Path) -> None:
    (hit,) = client.get("/api/v1/search?q=blue&k=1").get_json()["hits"]
    assert hit["image"]["path"] == "trip/blue.webp"
    image_id = hit["image"]["id"]
    for path in ("search?q=blue", f"images/{image_id}", f"images/{image_id}/texts", "images/99", "collections"):
        assert str(photos.parent) not in client.get(f"/api/v1/{path}").get_data(as_text=True)


def test_the_texts_are_searched_when_they_are_the_target(client: FlaskClient) -> None:
    hit = client.get("/api/v1/search?q=blue&target=texts&k=1").get_json()["hits"][0]
    assert (hit["target"], hit["text"], hit["image"]["name"]) == ("texts", "blue water", "blue.webp")


@pytest.mark.parametrize(
    ("term", "first"),
    [
        ({"text": "green"}, "green.bmp"),
        ({"image": base64.b64encode(picture("blue")).decode()}, "blue.webp"),
        ({"vector": [0, 5e300, 0, 1e300]}, "green.bmp"),
    ],
    ids=["text", "image", "vector"],
)
def test_every_kind_of_term_can_be_posted(client: FlaskClient, term: dict[str, Any], first: str) -> None:
    answer = client.post("/api/v1/search", json={"terms": [term], "k": 1})
    assert names(answer) == [first]


def test_posted_terms_are_added_up(client: FlaskClient, photos: Path, index: Build) -> None:
    paint(photos / "yellow.png", "yellow")
    index(photos)
    terms = [{"text": "red"}, {"image_id": id_of(client, "green")}]
    assert names(client.post("/api/v1/search", json={"terms": terms}))[0] == "yellow.png"


def test_a_term_with_a_negative_weight_takes_away(client: FlaskClient, photos: Path, index: Build) -> None:
    paint(photos / "magenta.png", "magenta")
    index(photos)
    terms = [{"text": "magenta"}, {"text": "red", "weight": -2}]
    hits = names(client.post("/api/v1/search", json={"terms": terms}))
    assert hits.index("blue.webp") < hits.index("red.png")
    written = names(client.get("/api/v1/search?q=magenta+-red"))
    assert written == names(client.post("/api/v1/search", json={"terms": [terms[0], {**terms[1], "weight": -1}]}))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"format": "bmp"}, ["green.bmp"]),
        ({"format": ".PNG"}, ["red.png"]),
        ({"folder": "/trip/"}, ["blue.webp"]),
        ({"orientation": "portrait"}, []),
        ({"min_side": 17}, []),
        ({"place": True}, []),
        ({"from": "2024", "to": "2024-06"}, []),
        ({"camera": "x"}, []),
    ],
)
def test_filters_mean_the_same_in_a_url_and_in_json(
    client: FlaskClient, collection: Collection, photos: Path, asked: dict[str, Any], found: list[str]
) -> None:
    collection.catalog.follow([Root(str(photos))])
    arguments = {name: "yes" if value is True else value for name, value in asked.items()}
    assert names(client.get("/api/v1/search", query_string={"q": "red", **arguments})) == found
    assert names(client.post("/api/v1/search", json={"terms": [{"text": "red"}], "filter": asked})) == found


def test_a_form_speaks_of_its_files_by_number(client: FlaskClient) -> None:
    def ask(q: str, **fields: Any) -> list[str]:
        files = [(io.BytesIO(picture(color)), f"{color}.png") for color in ("white", "blue", "green")]
        return names(client.post("/api/v1/search", data={"image": files, "q": q, **fields}))

    assert ask("upload:1 - upload:2 - upload:3")[0] == "red.png"
    assert ask("upload:1*0.5 + upload:2*5 - upload:3")[0] == "blue.webp"
    assert ask('upload:2*-1 + "red" - upload:3')[0] == "red.png"


def test_a_written_filter_means_the_same_in_a_url_and_in_json(client: FlaskClient) -> None:
    where = "-format:png width>=24"
    body = {"terms": [{"text": "red"}], "where": where}
    found = names(client.get("/api/v1/search", query_string={"q": "red", "where": where}))
    assert sorted(found) == ["blue.webp", "green.bmp"]
    assert names(client.post("/api/v1/search", json=body)) == found
    for name, value in (("where", "with>=1"), ("where", 1), ("filter", {"where": where})):
        answer = client.post("/api/v1/search", json={**body, name: value})
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "bad_query")


def test_pages_follow_each_other_by_their_cursor(client: FlaskClient) -> None:
    everything = names(client.get("/api/v1/search?q=red"))
    found, after = [], ""
    while after is not None:
        answer = client.get(f"/api/v1/search?q=red&k=1&after={after}")
        found += names(answer)
        after = answer.get_json()["next"]
    assert found == everything
    assert len(found) == 3


def test_strengths_and_matches_are_told_where_there_are_enough_images(
    client: FlaskClient, photos: Path, index: Build
) -> None:
    assert client.get("/api/v1/search?q=red").get_json()["matched"] is None
    for number in range(40):
        color = list(COLORS)[number % 8]
        paint(photos / f"{number}.png", color, (20 + number, 16))
    index(photos)
    body = {"terms": [{"image": base64.b64encode(picture("red")).decode()}]}
    answer = client.post("/api/v1/search", json=body).get_json()
    assert answer["matched"] in (True, False)
    strengths = [hit["strength"] for hit in answer["hits"]]
    assert strengths[0] == max(strengths)
    assert all(0 < strength < 1 for strength in strengths)


def test_a_file_and_a_text_can_be_posted_as_a_form(client: FlaskClient, photos: Path, index: Build) -> None:
    paint(photos / "magenta.png", "magenta")
    index(photos)
    form = {"q": "blue", "k": "1", "image": (io.BytesIO(picture("red")), "red.png")}
    assert names(client.post("/api/v1/search", data=form)) == ["magenta.png"]


def test_an_image_tells_its_facts_and_captions(client: FlaskClient) -> None:
    body = client.get(f"/api/v1/images/{id_of(client, 'red')}").get_json()
    assert (body["name"], body["captions"], body["facts"]["width"]) == ("red.png", ["a red wall"], 24)
    assert body["size_bytes"] > 0
    for link in [body["links"]["page"], body["links"]["original"], *body["links"]["thumbnails"]]:
        with client.get(link) as answer:
            assert answer.status_code == 200


def test_similar_images_are_the_others(client: FlaskClient) -> None:
    found = names(client.get(f"/api/v1/images/{id_of(client, 'red')}/similar"))
    assert sorted(found) == ["blue.webp", "green.bmp"]


def test_the_texts_of_an_image_are_the_nearest(client: FlaskClient) -> None:
    hits = client.get(f"/api/v1/images/{id_of(client, 'blue')}/texts").get_json()["hits"]
    assert [hit["text"] for hit in hits] == ["blue water", "a red wall"]


def test_the_collections_say_what_they_hold(client: FlaskClient) -> None:
    body = client.get("/api/v1/collections").get_json()
    (collection,) = body["collections"]
    assert body["default"] == collection["name"] == "collection"
    assert {name: collection[name] for name in ("images", "texts", "model", "dim", "index", "generation")} == {
        "images": 3,
        "texts": 2,
        "model": "colors",
        "dim": 4,
        "index": "exact",
        "generation": 1,
    }


def test_it_is_ready_when_the_models_are_loaded(client: FlaskClient) -> None:
    assert client.get("/api/v1/health").get_json() == {"status": "ok"}
    assert client.get("/api/v1/ready").status_code == 503
    library_of(client.application).warm()
    assert client.get("/api/v1/ready").get_json() == {"status": "ok", "generations": {"collection": 1}}


def test_a_new_generation_is_found_without_a_restart(client: FlaskClient, photos: Path, index: Build) -> None:
    assert "cyan.png" not in names(client.get("/api/v1/search?q=cyan"))
    paint(photos / "cyan.png", "cyan")
    index(photos)
    assert names(client.get("/api/v1/search?q=cyan"))[0] == "cyan.png"


def test_collections_are_chosen_by_name_and_share_their_model(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build, tmp_path: Path
) -> None:
    index(photos)
    loaded = []

    def load(identity: EncoderIdentity) -> ColorEncoder:
        loaded.append(identity)
        return encoder

    other = Collection.create(tmp_path / "elsewhere" / "collection", encoder.identity)
    client = create_app([collection, other], load).test_client()
    assert len(names(client.get("/api/v1/search?q=red"))) == 3
    assert names(client.get("/api/v1/search?q=red&collection=collection-2")) == []
    assert loaded == [encoder.identity]
    refused = client.get("/api/v1/search?q=red&collection=nowhere").get_json()["error"]
    assert refused["status"] == 404
    assert "collection, collection-2" in refused["message"]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("search", 400, "bad_query"),
        ("search?q=%20", 400, "bad_query"),
        ("search?q=red&k=0", 400, "bad_query"),
        ("search?q=red&k=1001", 400, "bad_query"),
        ("search?q=red&k=ten", 400, "bad_query"),
        ("search?q=red&target=sounds", 400, "bad_query"),
        ("search?q=-red", 400, "bad_query"),
        ("search?q=red&sort=size", 400, "bad_query"),
        ("search?q=red&after=5", 400, "bad_query"),
        ("search?q=red&orientation=round", 400, "bad_query"),
        ("search?q=red&min_side=-5", 400, "bad_query"),
        ("search?q=red&from=2024-13", 400, "bad_query"),
        ("search?q=red&place=maybe", 400, "bad_query"),
        (f"search?q={'a' * 1001}", 400, "bad_query"),
        ("search?q=red&collection=nowhere", 404, "not_found"),
        ("images/0", 404, "not_found"),
        ("images/99999", 404, "not_found"),
        ("images/99999999999999999999999", 404, "not_found"),
        ("images/99/similar", 404, "not_found"),
        ("images/99/texts", 404, "not_found"),
        ("images/red.png", 404, "not_found"),
        ("", 404, "not_found"),
        ("nothing", 404, "not_found"),
        ("ready", 503, "service_unavailable"),
    ],
)
def test_a_bad_get_has_the_error_body(client: FlaskClient, path: str, status: int, code: str) -> None:
    assert error_of(client.get(f"/api/v1/{path}")) == (status, code)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        (DEEP, 400),
        ("[]", 400),
        ("{}", 400),
        ('{"terms": []}', 400),
        ('{"terms": "red"}', 400),
        ('{"terms": ["red"]}', 400),
        ('{"terms": [{"text": ""}]}', 400),
        ('{"terms": [{"text": 5}]}', 400),
        ('{"terms": [{"text": "red", "weight": 0}]}', 400),
        ('{"terms": [{"text": "red", "weight": "2"}]}', 400),
        ('{"terms": [{"text": "red", "weight": 11}]}', 400),
        ('{"terms": [{"text": "red", "weight": -1}]}', 400),
        ('{"terms": [{"weight": 1}]}', 400),
        ('{"terms": [{"text": "red"}], "filter": "JPEG"}', 400),
        ('{"terms": [{"text": "red"}], "filter": {"size": 5}}', 400),
        ('{"terms": [{"text": "red"}], "filter": {"min_side": "5"}}', 400),
        ('{"terms": [{"text": "red"}], "filter": {"place": "yes"}}', 400),
        ('{"terms": [{"text": "red"}], "filter": {"from": "May"}}', 400),
        ('{"terms": [{"text": "red"}], "sort": "size"}', 400),
        ('{"terms": [{"text": "red"}], "after": "here"}', 400),
        ('{"terms": [{"url": "http://127.0.0.1/"}]}', 400),
        ('{"terms": [{"image": "not base64"}]}', 400),
        ('{"terms": [{"image": "bm90IGEgcGljdHVyZQ=="}]}', 400),
        ('{"terms": [{"image_id": 99}]}', 404),
        ('{"terms": [{"image_id": true}]}', 400),
        ('{"terms": [{"vector": [1, 2]}]}', 400),
        ('{"terms": [{"vector": [0, 0, 0, 0]}]}', 400),
        ('{"terms": [{"vector": [NaN, 0, 0, 1]}]}', 400),
        ('{"terms": [{"vector": [Infinity, 0, 0, 1]}]}', 400),
        (f'{{"terms": [{{"vector": [1{"0" * 400}, 0, 0, 1]}}]}}', 400),
        ('{"terms": [{"text": "red"}], "k": 1.5}', 400),
        ('{"terms": [{"text": "red"}], "k": 0}', 400),
        ('{"terms": [{"text": "red"}], "target": ["images"]}', 400),
        ('{"terms": [{"text": "red"}], "collection": "nowhere"}', 404),
        ('{"terms": [{"text": "red"}], "limit": 5}', 400),
        (json.dumps({"terms": [{"text": "red"}] * 17}), 400),
    ],
)
def test_a_bad_body_has_the_error_body(client: FlaskClient, body: str, status: int) -> None:
    assert error_of(client.post("/api/v1/search", data=body, content_type="application/json"))[0] == status


@pytest.mark.parametrize("path", ["search?q=red&limit=9", "images/1/similar?limit=9", "images/1/texts?limit=9"])
def test_an_argument_that_nobody_reads_is_refused_by_name(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert error_of(answer) == (400, "bad_query")
    assert "unknown argument 'limit'; there are: " in answer.json["error"]["message"]


def test_an_argument_of_a_form_is_refused_like_that_of_a_url(client: FlaskClient) -> None:
    assert error_of(client.post("/api/v1/search", data={"query": "red"})) == (400, "bad_query")
    nameless = b"--x\r\nContent-Disposition: form-data\r\n\r\nred\r\n--x--\r\n"
    answer = client.post("/api/v1/search", data=nameless, content_type="multipart/form-data; boundary=x")
    assert error_of(answer) == (400, "bad_query")


@pytest.mark.parametrize("path", ["search", "embed", "classify", "lookup", "score", "images/1/texts"])
def test_a_body_that_is_no_json_is_told_with_an_example(client: FlaskClient, path: str) -> None:
    answer = client.post(f"/api/v1/{path}", data="{'a': 1}", content_type="application/json")
    assert error_of(answer) == (400, "bad_query")
    assert "the body is no JSON; give an object like {" in answer.json["error"]["message"]


def test_text_that_is_no_unicode_is_searched_all_the_same(client: FlaskClient) -> None:
    assert (
        client.post(
            "/api/v1/search", data='{"terms": [{"text": "red \\ud800"}]}', content_type="application/json"
        ).status_code
        == 200
    )


def test_other_methods_types_and_sizes_have_the_error_body(client: FlaskClient) -> None:
    answer = client.delete("/api/v1/search")
    assert error_of(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]
    assert error_of(client.post("/api/v1/search", data="red", content_type="text/plain"))[0] == 415
    large = client.post("/api/v1/search", data=b" " * (MAX_UPLOAD_BYTES + 1), content_type="application/json")
    assert error_of(large) == (413, "request_entity_too_large")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client: FlaskClient) -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    answer = client.post("/api/v1/search", data={"image": (io.BytesIO(bomb.getvalue()), "bomb.png")})
    assert error_of(answer) == (400, "bad_picture")
    assert "400 megapixels" in answer.get_json()["error"]["message"]


def test_a_model_that_cannot_be_loaded_is_told_without_details(collection: Collection) -> None:
    def load(_model: str) -> ColorEncoder:
        raise ModelUnavailable("no weights in /secret/place")

    app = create_app([collection], load)
    library_of(app).warm()
    answer = app.test_client().get("/api/v1/search?q=red")
    assert error_of(answer) == (503, "model_unavailable")
    assert "secret" not in answer.get_data(as_text=True)
    assert not library_of(app).ready


def test_a_fault_of_the_server_shows_no_stack_trace(collection: Collection) -> None:
    def load(_model: str) -> ColorEncoder:
        raise ZeroDivisionError("secret")

    answer = create_app([collection], load).test_client().get("/api/v1/search?q=red")
    assert error_of(answer) == (500, "internal_server_error")
    assert "secret" not in answer.get_data(as_text=True)


def error_of(answer: Any) -> tuple[int, str]:
    """Status and code of an error, which has all of its parts and says the same status twice."""
    error = answer.get_json()["error"]
    assert sorted(error) == ["code", "message", "status"]
    assert error["status"] == answer.status_code
    assert error["message"]
    return error["status"], error["code"]


def test_the_order_can_be_that_of_the_scores(client: FlaskClient) -> None:
    """Here it is in any case: the collection is small. `test_balance.py` has the difference."""
    balanced = client.get("/api/v1/search?q=blue").get_json()
    assert client.get("/api/v1/search?q=blue&ranking=cosine").get_json() == balanced
    body = {"terms": [{"text": "blue"}], "ranking": "cosine"}
    assert client.post("/api/v1/search", json=body).get_json() == balanced
    answer = client.get("/api/v1/search?q=blue&ranking=best")
    assert answer.status_code == 400
    assert "choose one of balanced, cosine" in answer.get_json()["error"]["message"]


def test_hits_are_grouped_diverse_and_asked_by_templates(
    client: FlaskClient, photos: Path, index: Build, searcher: Searcher
) -> None:
    for number in range(3):
        paint(photos / f"rose {number}.png", "red", (30 + number, 20))
    index(photos)
    hits = client.get("/api/v1/search?q=red&group=yes").get_json()["hits"]
    assert [len(hit["alike"]) for hit in hits] == [3, 0, 0]
    posted = client.post("/api/v1/search", json={"terms": [{"text": "red"}], "group": True}).get_json()["hits"]
    assert posted == hits
    diverse = client.get("/api/v1/search?q=red&diverse=yes").get_json()["hits"]
    assert [hit["id"] for hit in diverse] == [hit.id for hit in searcher.page([TextTerm("red")], diverse=True).hits]
    green = client.get("/api/v1/search?q=red&templates={}+and+green+green+green").get_json()["hits"]
    assert green[0]["image"]["name"] == "green.bmp"
    for wrong in ("templates=none", "group=1", "diverse=yes&sort=newest"):
        assert client.get(f"/api/v1/search?q=red&{wrong}").status_code == 400


@pytest.mark.parametrize(
    ("path", "fields", "files"),
    [
        ("search", {"q": "red"}, ["file"]),
        ("search", {"q": ["red", "blue"]}, []),
        ("search?k=2", {"q": "red"}, []),
        ("lookup", {"foo": "1"}, ["image"]),
        ("lookup", {}, ["image", "image"]),
        ("lookup?collection=collection", {}, ["image"]),
        ("embed", {"texts": "red"}, ["image"]),
        ("classify", {"image_ids": "1", "labels": "red", "label": "blue"}, []),
    ],
)
def test_what_a_form_holds_and_nobody_reads_is_refused(
    client: FlaskClient, path: str, fields: dict[str, Any], files: list[str]
) -> None:
    sent = {name: [(io.BytesIO(picture("red")), "a.png") for other in files if other == name] for name in files}
    answer = client.post(f"/api/v1/{path}", data={**fields, **sent}, content_type="multipart/form-data")
    assert error_of(answer) == (400, "bad_query")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("search?q=red&q=blue", "q is given 2 times"),
        ("images/1/similar?k=1&k=2", "k is given 2 times"),
        ("images/1?collection=a&collection=b", "collection is given 2 times"),
        ("images/1?colection=a", "unknown argument 'colection'; there are: collection"),
        ("collections?k=1", "unknown argument 'k'; there are none"),
        ("images/1/texts?target=images", "here it is texts"),
    ],
)
def test_arguments_that_contradict_are_refused(client: FlaskClient, path: str, told: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert error_of(answer) == (400, "bad_query")
    assert told in answer.get_json()["error"]["message"]


@pytest.mark.parametrize(
    "body", ['{"k": 1, "terms": [{"text": "red"}], "k": 2}', '{"terms": [{"text": "a", "text": "b"}]}']
)
def test_a_field_that_is_there_twice_is_refused(client: FlaskClient, body: str) -> None:
    answer = client.post("/api/v1/search", data=body, content_type="application/json")
    assert error_of(answer) == (400, "bad_query")
    assert "is given 2 times; give it once" in answer.get_json()["error"]["message"]


def test_arguments_beside_a_json_body_are_refused(client: FlaskClient) -> None:
    asked = {"search": {"terms": [{"text": "red"}]}, "embed": {"texts": ["red"]}, "lookup": {"image_id": 1}}
    for path, body in asked.items():
        answer = client.post(f"/api/v1/{path}?collection=collection", json=body)
        assert error_of(answer) == (400, "bad_query")
