"""The API's document says what the API does: all of its routes, and answers of no other shape than it promises."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from search.collection import Collection
from search.prompts import Label
from search.types import Root
from search.vocabulary import make_vocabulary
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_web_api import picture
from web.access import Access
from web.app import create_app
from web.current import library_of
from web.openapi import SERVER, document

EXAMPLES = 30
"""Requests of each kind that are made up for an operation."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    (photos / "red.txt").write_text("a red wall")
    index(photos)
    collection.catalog.follow([Root(str(photos))])
    collection.tag(make_vocabulary(encoder, [Label("red"), Label("blue", sensitive=True)], ["{}"]))
    app = create_app([collection], lambda _model: encoder)
    library_of(app).warm()
    return app.test_client()


@pytest.fixture
def api(client: FlaskClient) -> BaseSchema:
    return schemathesis.openapi.from_wsgi(
        f"{SERVER}/openapi.json", client.application, config=SchemathesisConfig(seed=1)
    )


OPERATIONS = [(method, path) for path, item in document("")["paths"].items() for method in item]
TAKING = [
    (method, path)
    for method, path in OPERATIONS
    if {"parameters", "requestBody"} & document("")["paths"][path][method].keys()
]

PICTURE = base64.b64encode(picture("green")).decode()
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("get", "/search", {"query": {"q": "red", "target": "texts"}}),
    ("post", "/search", {"body": {"terms": [{"text": "red"}, {"image": PICTURE}]}}),
    ("post", "/lookup", {"body": {"image": PICTURE}}),
    ("post", "/embed", {"body": {"texts": ["red"], "images": [PICTURE]}}),
    ("post", "/classify", {"body": {"images": [PICTURE], "labels": ["red", "green"], "templates": "simple"}}),
    ("post", "/score", {"body": {"input_data": {"columns": ["image", "text"], "data": [[PICTURE, "red, green"]]}}}),
    ("get", "/images/{image_id}", {"path_parameters": {"image_id": 1}}),
    ("get", "/images/{image_id}/similar", {"path_parameters": {"image_id": 1}}),
    ("get", "/images/{image_id}/texts", {"path_parameters": {"image_id": 1}}),
    ("post", "/images/{image_id}/texts", {"path_parameters": {"image_id": 1}, "body": {"labels": ["red", "green"]}}),
    ("get", "/collections", {}),
    ("get", "/health", {}),
    ("get", "/ready", {}),
    ("get", "/openapi.json", {}),
]


@pytest.mark.parametrize(("method", "path", "asked"), GOOD, ids=[f"{method} {path}" for method, path, _ in GOOD])
def test_a_good_question_is_answered_as_the_document_says(
    api: BaseSchema, method: str, path: str, asked: dict[str, Any]
) -> None:
    media_type = "application/json" if "body" in asked else None
    case = api[path][method.upper()].Case(media_type=media_type, **asked)
    assert case.call_and_validate(checks=CHECKS).status_code == 200


def test_every_operation_is_asked_a_good_question() -> None:
    assert [(method, path) for method, path, _ in GOOD] == OPERATIONS


@pytest.mark.parametrize(("headers", "query", "status"), [({"Host": "example.org"}, "", 403), ({}, "\xff", 400)])
def test_what_refuses_any_request_is_in_the_document(
    collection: Collection, encoder: ColorEncoder, headers: dict[str, str], query: str, status: int
) -> None:
    client = create_app([collection], lambda _model: encoder, access=Access(hosts=("localhost",))).test_client()
    for method, path in OPERATIONS:
        url = SERVER + path.format(image_id=1)
        answer = client.open(url, method=method, headers=headers, environ_overrides={"QUERY_STRING": query})
        assert answer.status_code == status
        assert {str(status), "503"} <= document("")["paths"][path][method]["responses"].keys()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("method", "path"), TAKING)
def test_whatever_is_asked_is_answered_as_the_document_says(
    api: BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    @given(case=api[path][method.upper()].as_strategy(mode))
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


def test_the_document_lists_exactly_the_routes_of_the_api(client: FlaskClient) -> None:
    routes = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule.removeprefix(SERVER)), method.lower())
        for rule in client.application.url_map.iter_rules()
        if rule.rule.startswith(f"{SERVER}/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in document("")["paths"].items() for method in item}
    assert described == routes


def test_every_reference_leads_to_a_shape_and_every_shape_is_used(client: FlaskClient) -> None:
    text = client.get(f"{SERVER}/openapi.json").get_data(as_text=True)
    used = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert used == set(document("")["components"]["schemas"])


def test_the_page_shows_every_operation_and_shape(client: FlaskClient) -> None:
    html = client.get("/api").get_data(as_text=True)
    described = document(f"http://localhost{SERVER}")
    for path, item in described["paths"].items():
        for method, operation in item.items():
            assert f"<code>{method.upper()} {path}</code>" in html
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in html
    for name, schema in described["components"]["schemas"].items():
        assert f'<section id="{name}">' in html
        for choice in schema.get("oneOf", [schema]):
            for field in choice["properties"]:
                assert f"<code>{field}</code>" in html
    assert "curl http://localhost/api/v1/collections" in html


def test_links_on_the_page_lead_to_its_own_operations_and_shapes(client: FlaskClient) -> None:
    html = client.get("/api").get_data(as_text=True)
    targets = set(re.findall(r'href="#([^"]+)"', html)) - {"main"}
    assert {"get-search", "Hits"} <= targets
    assert targets <= set(re.findall(r'id="([^"]+)"', html))


def test_every_page_leads_to_the_page_of_the_api(client: FlaskClient) -> None:
    for url in ("/", "/search?q=red", "/status", "/api"):
        assert 'href="/api"' in client.get(url).get_data(as_text=True)


def test_the_page_keeps_to_the_collection_that_was_chosen(client: FlaskClient) -> None:
    assert client.get("/api?collection=collection").status_code == 200
    assert "nowhere" in client.get("/api?collection=nowhere").get_data(as_text=True)
