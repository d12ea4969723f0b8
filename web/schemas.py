"""The shapes of the API's bodies, as JSON Schema for openapi.py. Objects list all of their fields."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from search.lookup import VERDICTS
from search.settings import MAX_K
from search.types import TARGETS
from web.embed import MAX_ITEMS
from web.params import MAX_TEXT_LENGTH
from web.terms import DEFAULT_K, MAX_TERMS

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items, **_described(description)}


def fields(properties: dict[str, Schema], *, optional: Collection[str] = ()) -> Schema:
    """An object with these fields and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def string(description: str = "") -> Schema:
    return {"type": "string", **_described(description)}


def whole(description: str = "", *, minimum: int = 0) -> Schema:
    return {"type": "integer", "minimum": minimum, **_described(description)}


def number(description: str = "") -> Schema:
    return {"type": "number", **_described(description)}


def maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _described(text: str) -> Schema:
    return {"description": text} if text else {}


TARGET = {"type": "string", "enum": list(TARGETS), "default": "images", "description": "what to find"}
K = {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": DEFAULT_K, "description": "how many"}
COLLECTION = string("name of a collection; the first one if left out")
FILE = {"type": "string", "contentMediaType": "application/octet-stream", "description": "a picture's file"}
BASE64 = {"type": "string", "contentEncoding": "base64", "description": "a picture's file, base64"}
TEXT = {
    "type": "string",
    "maxLength": MAX_TEXT_LENGTH,
    "pattern": r"\S",
    "description": "what a picture shows, in words",
}
IMAGE_ID = whole("an image of the collection", minimum=1)
SCORE = number("cosine similarity in [-1, 1], larger is nearer")
VECTOR = array(number(), "as many numbers as the collection's `dim`, of any length but 0")
ROWS = array(array(number()), "rows of unit length, in the order given")

IMAGE_FIELDS = {
    "id": whole("means this picture for good", minimum=1),
    "name": string("of the file"),
    "path": string("below the followed folder"),
    "facts": ref("Facts"),
    "links": ref("Links"),
}

SCHEMAS: dict[str, Schema] = {
    "SearchBody": fields(
        {
            "terms": {**array(ref("Term"), "added up"), "minItems": 1, "maxItems": MAX_TERMS},
            "k": K,
            "target": TARGET,
            "collection": COLLECTION,
        },
        optional=("k", "target", "collection"),
    ),
    "SearchForm": fields(
        {"image": FILE, "q": TEXT, "k": K, "target": TARGET, "collection": COLLECTION},
        optional=("image", "q", "k", "target", "collection"),
    ),
    "Term": {
        "oneOf": [
            fields({"text": TEXT}),
            fields({"image_id": IMAGE_ID}),
            fields({"image": BASE64}),
            fields({"vector": VECTOR}),
        ]
    },
    "LookupBody": {
        "oneOf": [
            fields({kind: schema, "k": K, "collection": COLLECTION}, optional=("k", "collection"))
            for kind, schema in (("image", BASE64), ("image_id", IMAGE_ID))
        ]
    },
    "LookupForm": fields({"image": FILE, "k": K, "collection": COLLECTION}, optional=("k", "collection")),
    "EmbedBody": fields(
        {
            "texts": {**array(TEXT), "maxItems": MAX_ITEMS},
            "images": {**array(BASE64), "maxItems": MAX_ITEMS},
            "collection": COLLECTION,
        },
        optional=("texts", "images", "collection"),
    ),
    "EmbedForm": fields(
        {
            "texts": {**array(TEXT), "maxItems": MAX_ITEMS},
            "images": {**array(FILE), "maxItems": MAX_ITEMS},
            "collection": COLLECTION,
        },
        optional=("texts", "images", "collection"),
    ),
    "Hits": fields(
        {
            "collection": string(),
            "target": {"type": "string", "enum": list(TARGETS)},
            "k": whole(minimum=1),
            "hits": array(ref("Hit"), "nearest first"),
        }
    ),
    "Hit": fields(
        {
            "target": {"type": "string", "enum": list(TARGETS)},
            "id": whole("of the image or of the text", minimum=1),
            "score": SCORE,
            "text": maybe(string("null for an image")),
            "image": ref("Image"),
        }
    ),
    "Image": fields(IMAGE_FIELDS),
    "ImageInFull": fields(
        {
            "collection": string(),
            **IMAGE_FIELDS,
            "size_bytes": maybe(whole("null where the file is gone")),
            "captions": array(string()),
        }
    ),
    "Facts": fields(
        {
            "width": whole("pixels, upright", minimum=1),
            "height": whole("pixels, upright", minimum=1),
            "format": string(),
            "taken_at": maybe(string("ISO 8601, the camera's local time")),
            "camera": maybe(string()),
            "lens": maybe(string()),
            "latitude": maybe(number("degrees, north positive")),
            "longitude": maybe(number("degrees, east positive")),
            "caption": maybe(string("inside the file")),
        }
    ),
    "Links": fields({"self": string(), "page": string(), "original": string(), "thumbnails": array(string())}),
    "Candidates": fields(
        {
            "collection": string(),
            "found": {"type": "boolean", "description": "whether one is identical"},
            "candidates": array(ref("Candidate"), "identical ones first, then nearest first"),
        }
    ),
    "Candidate": fields(
        {
            "verdict": {
                "type": "string",
                "enum": list(VERDICTS),
                "description": "identical: the same file byte by byte; look-alike: a neighbour, near or far",
            },
            "score": SCORE,
            "image": ref("Image"),
        }
    ),
    "Embeddings": fields(
        {"collection": string(), "model": string(), "dim": whole(minimum=1), "texts": ROWS, "images": ROWS}
    ),
    "Collections": fields({"default": string(), "collections": array(ref("Collection"))}),
    "Collection": fields(
        {
            "name": string(),
            "images": whole(),
            "texts": whole(),
            "failures": whole("files that could not be read"),
            "model": string(),
            "dim": whole("numbers of a vector", minimum=1),
            "index": string("how vectors are compared"),
            "generation": whole("counts publications of the index"),
        }
    ),
    "Health": fields({"status": {"type": "string", "const": "ok"}}),
    "Ready": fields(
        {
            "status": {"type": "string", "const": "ok"},
            "generations": {"type": "object", "additionalProperties": whole(), "description": "by collection"},
        }
    ),
    "Error": fields(
        {
            "error": fields(
                {"status": whole(), "code": string(), "message": string("the value, the limit, the next step")}
            )
        }
    ),
}
