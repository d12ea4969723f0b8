"""The API described by hand as OpenAPI 3.1: what each operation takes and answers. Shapes are in schemas.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.classify_schemas import CLASSIFICATION
from web.image_schemas import PICTURES
from web.order_schemas import REFINED_ARGUMENTS
from web.schemas import (
    COLLECTION,
    FILTER_ARGUMENTS,
    IMAGE_ID,
    SCHEMAS,
    TARGET,
    TEXT,
    K,
)
from web.shapes import Schema, array, ref
from web.texts import NEAREST_TEXTS

SERVER = "/api/v1"

ERRORS = {
    400: "the query or the picture cannot be used; the message says why",
    401: "the server has a token, and the request does not",
    403: "the page of another site asks, or the server does not go by the name that it is asked under",
    404: "no such collection or image",
    413: "the body is too large",
    415: "the body is neither JSON nor a form",
    429: "too many requests from one address; Retry-After says when to come back",
    503: "the model or the collection cannot be used just now, or the request took too long",
}

_ANY = (400, 401, 403, 429, 503)
"""Any operation may answer so: to a URL that is no text, for who asks, how often, under which name, when it takes long.
"""

_ID = {"name": "image_id", "in": "path", "required": True, "schema": IMAGE_ID}


def document(server: str) -> dict[str, Any]:
    """The document; `server` is the absolute URL of the API that the examples ask."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Text-image search",
            "version": "1",
            "summary": "Collections of pictures, searched by text, picture, id or vector.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": SERVER}],
        "security": [{}, {"token": []}],
        "paths": _paths(server),
        "components": {
            "schemas": SCHEMAS | PICTURES | CLASSIFICATION,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {str(status): _answer(text, ref("Error")) for status, text in ERRORS.items()},
        },
    }


def _paths(server: str) -> dict[str, Any]:
    q, k, target, collection = (
        _query(name, schema) for name, schema in (("q", TEXT), ("k", K), ("target", TARGET), ("collection", COLLECTION))
    )
    refined = [_query(name, schema) for name, schema in {**FILTER_ARGUMENTS, **REFINED_ARGUMENTS}.items()]
    return {
        "/search": {
            "get": _operation(
                "Search with a text",
                ref("Hits"),
                parameters=[{**q, "required": True}, k, target, collection, *refined],
                errors=(404,),
                curl=f"curl '{server}/search?q=a+dog+in+the+snow&k=5'",
            ),
            "post": _operation(
                "Search with a sum of texts, pictures, images by id and vectors",
                ref("Hits"),
                body={"application/json": "SearchBody", "multipart/form-data": "SearchForm"},
                errors=(404, 413, 415),
                curl=f"curl -F image=@photo.jpg -F q='at night' {server}/search",
            ),
        },
        "/lookup": {
            "post": _operation(
                "Look a picture up: copies of its file under any name, then what looks like it",
                ref("Candidates"),
                body={"application/json": "LookupBody", "multipart/form-data": "LookupForm"},
                errors=(404, 413, 415),
                curl=f"curl -F image=@photo.jpg {server}/lookup",
            )
        },
        "/embed": {
            "post": _operation(
                "The vectors of texts and pictures, by the model of a collection",
                ref("Embeddings"),
                body={"application/json": "EmbedBody", "multipart/form-data": "EmbedForm"},
                errors=(404, 413, 415),
                curl=f"curl -F texts='a dog' -F images=@photo.jpg {server}/embed",
            )
        },
        "/classify": {
            "post": _operation(
                "How probable each of some labels is for pictures, by the model of a collection",
                ref("Classes"),
                body={"application/json": "ClassifyBody", "multipart/form-data": "ClassifyForm"},
                errors=(404, 413, 415),
                curl=f"curl -F images=@photo.jpg -F labels=dog -F labels=cat {server}/classify",
            )
        },
        "/score": {
            "post": _operation(
                "The same for a table of images and labels, in the batch format of a published endpoint for CLIP",
                array(ref("Score"), "one for each row"),
                parameters=[collection],
                body={"application/json": "ScoreBody"},
                errors=(404, 413, 415),
                curl=f"curl --json @request.json {server}/score",
            )
        },
        "/images/{image_id}": {
            "get": _operation(
                "An image: its facts, captions and links",
                ref("ImageInFull"),
                parameters=[_ID, collection],
                errors=(404,),
                curl=f"curl {server}/images/12",
            )
        },
        "/images/{image_id}/similar": {
            "get": _operation(
                "The neighbours of an image, without itself",
                ref("Hits"),
                parameters=[_ID, k, target, collection, *refined],
                errors=(404,),
                curl=f"curl '{server}/images/12/similar?k=5'",
            )
        },
        "/images/{image_id}/texts": {
            "get": _operation(
                "The texts of the collection, its own captions among them, and the labels that are nearest to an image",
                ref("Texts"),
                parameters=[_ID, _query("k", {**K, "default": NEAREST_TEXTS}), collection, *refined],
                errors=(404,),
                curl=f"curl {server}/images/12/texts",
            ),
            "post": _operation(
                "The same with labels of one's own",
                ref("Texts"),
                parameters=[_ID],
                body={"application/json": "TextsBody"},
                errors=(404, 413, 415),
                curl=f'curl --json \'{{"labels": ["dog", "cat"]}}\' {server}/images/12/texts',
            ),
        },
        "/collections": {
            "get": _operation("The collections that are served", ref("Collections"), curl=f"curl {server}/collections")
        },
        "/health": {
            "get": _operation("Whether the process answers", ref("Health"), curl=f"curl {server}/health"),
        },
        "/ready": {
            "get": _operation(
                "Whether the models are loaded and a query is answered at once",
                ref("Ready"),
                curl=f"curl {server}/ready",
            )
        },
        "/openapi.json": {
            "get": _operation("This document", {"type": "object"}, curl=f"curl {server}/openapi.json"),
        },
    }


def _operation(
    summary: str,
    answer: Schema,
    *,
    curl: str,
    parameters: list[dict[str, Any]] | None = None,
    body: Mapping[str, str] | None = None,
    errors: tuple[int, ...] = (),
) -> dict[str, Any]:
    """`body`: the type of a body -> the name of its schema."""
    operation: dict[str, Any] = {"summary": summary, "x-codeSamples": [{"lang": "Shell", "source": curl}]}
    if parameters:
        operation["parameters"] = parameters
    if body:
        content = {mimetype: {"schema": ref(name)} for mimetype, name in body.items()}
        operation["requestBody"] = {"required": True, "content": content}
    statuses = sorted({*errors, *_ANY})
    refused = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
    operation["responses"] = {"200": _answer("the answer", answer), **refused}
    return operation


def _answer(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}
