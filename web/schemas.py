"""The shapes of the API's bodies, as JSON Schema for openapi.py. Objects list all of their fields."""

from __future__ import annotations

from search.expression import ORIENTATIONS
from search.lookup import VERDICTS
from search.query import MAX_WEIGHT
from search.settings import MAX_K
from search.types import HIDE, SENSITIVE, TARGETS, WANTED
from web.embed import MAX_ITEMS
from web.lookup_schemas import EVIDENCE
from web.order_schemas import REFINED, REFINED_ARGUMENTS
from web.params import MAX_TEXT_LENGTH, YES_OR_NO
from web.shapes import Schema, array, fields, maybe, number, ref, some, string, whole
from web.terms import DEFAULT_K, MAX_TERMS

TARGET = {"type": "string", "enum": list(WANTED), "default": "images", "description": "what to find"}
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
URL = string("of a picture on the public internet, where the server fetches such (--allow-fetch)")
SCORE = number("cosine similarity in [-1, 1], larger is nearer")
WEIGHT = {
    **number("of the term in the sum; a negative one takes away; not 0"),
    "minimum": -MAX_WEIGHT,
    "maximum": MAX_WEIGHT,
    "not": {"const": 0},
    "default": 1,
}
VECTOR = array(number(), "as many numbers as the collection's dim, of any length but 0")
ROWS = array(array(number()), "rows of unit length, in the order given")
EMBEDDED_TEXTS = {**array(TEXT, f"with the images {MAX_ITEMS} at most"), "maxItems": MAX_ITEMS}

TRUNCATED = {"type": "boolean", "description": "whether a text has more tokens than the model reads"}
CONTEXT = whole("how many tokens of a text the model reads", minimum=1)

STRENGTH = number("what the score is worth, from 0 to 1, alike for every query; null where it cannot be told")

SENSITIVE_FIELD = {
    "type": "string",
    "enum": list(SENSITIVE),
    "default": HIDE,
    "description": "images with a sensitive tag, and their texts",
}

WHERE = string("a filter, such as taken>=2024-06 -format:png near:48.2,16.37,10km; besides the others")

FILTER_FIELDS: dict[str, Schema] = {
    "folder": string("in this folder, below a followed one, or in one below it"),
    "from": string("taken then or later: 2024, 2024-06 or 2024-06-21"),
    "to": string("taken then or before"),
    "format": string("JPEG, PNG, ..."),
    "orientation": {"type": "string", "enum": list(ORIENTATIONS), "description": "how it lies, upright"},
    "min_side": whole("pixels of the shorter side, at least"),
    "camera": string("part of the camera's name"),
    "tag": string("a tag, or several between commas: images with all of them"),
    "sensitive": SENSITIVE_FIELD,
}
PLACE = {"type": "boolean", "description": "whether it says where it was taken"}
PLACE_ARGUMENT = {"type": "string", "enum": list(YES_OR_NO), "description": PLACE["description"]}

FILTER_ARGUMENTS: dict[str, Schema] = {"where": WHERE, **FILTER_FIELDS, "place": PLACE_ARGUMENT}

PICTURES: dict[str, Schema] = {"image": BASE64, "image_id": IMAGE_ID, "url": URL}
TERMS: dict[str, Schema] = {"text": TEXT, **PICTURES}

LOOKED_UP: dict[str, Schema] = {"k": K, "collection": COLLECTION, "sensitive": SENSITIVE_FIELD}

IMAGE_FIELDS = {
    "id": whole("means this picture for good", minimum=1),
    "name": string("of the file"),
    "path": string("below the followed folder"),
    "facts": ref("Facts"),
    "tags": array(ref("Tag"), "most probable first"),
    "links": ref("Links"),
}

HITS: dict[str, Schema] = {
    "collection": string(),
    "target": {"type": "string", "enum": list(WANTED)},
    "k": whole(minimum=1),
    "matched": {
        "type": ["boolean", "null"],
        "description": "whether a hit is a match; null on further pages and where it cannot be told",
    },
    "truncated": TRUNCATED,
    "tokens": maybe(whole("of the longest text asked; null without one")),
    "context": maybe(CONTEXT),
    "hits": array(ref("Hit"), "nearest first, unless sorted by time"),
    "next": maybe(string("ask with this as `after` for the hits that follow; null where there are none")),
}

SCHEMAS: dict[str, Schema] = {
    "SearchBody": fields(
        {
            "terms": {**array(ref("Term"), "added up"), "minItems": 1, "maxItems": MAX_TERMS},
            "k": K,
            "target": TARGET,
            "collection": COLLECTION,
            "where": WHERE,
            "filter": ref("Filter"),
            **REFINED,
        },
        optional=("k", "target", "collection", "where", "filter", *REFINED),
    ),
    "SearchForm": some(
        {
            "image": FILE,
            "q": TEXT,
            "k": K,
            "target": TARGET,
            "collection": COLLECTION,
            **FILTER_ARGUMENTS,
            **REFINED_ARGUMENTS,
        }
    ),
    "Term": {
        "oneOf": [
            fields({kind: schema, "weight": WEIGHT}, optional=("weight",))
            for kind, schema in {**TERMS, "vector": VECTOR}.items()
        ]
    },
    "Filter": some({**FILTER_FIELDS, "place": PLACE}),
    "LookupBody": {
        "oneOf": [fields({kind: schema, **LOOKED_UP}, optional=LOOKED_UP) for kind, schema in PICTURES.items()]
    },
    "LookupForm": fields({"image": FILE, **LOOKED_UP}, optional=LOOKED_UP),
    "EmbedBody": fields(
        {
            "texts": EMBEDDED_TEXTS,
            "images": {**array(BASE64, "pictures"), "maxItems": MAX_ITEMS},
            "collection": COLLECTION,
        },
        optional=("texts", "images", "collection"),
    ),
    "EmbedForm": fields(
        {
            "texts": EMBEDDED_TEXTS,
            "images": {**array(FILE, "pictures"), "maxItems": MAX_ITEMS},
            "collection": COLLECTION,
        },
        optional=("texts", "images", "collection"),
    ),
    "Hits": fields(HITS),
    "Hit": fields(
        {
            "target": {"type": "string", "enum": list(TARGETS)},
            "id": whole("of the image or of the text", minimum=1),
            "score": SCORE,
            "strength": maybe(STRENGTH),
            "text": maybe(string("null for an image")),
            "alike": array(whole(minimum=1), "ids of the near-identical hits behind it, where they are grouped"),
            "image": ref("Image"),
        }
    ),
    "Image": fields(IMAGE_FIELDS),
    "ImageInFull": fields(
        {
            "collection": string(),
            **IMAGE_FIELDS,
            "size_bytes": maybe(whole("null where the file is gone, or was imported without")),
            "captions": array(string()),
        }
    ),
    "Candidates": fields(
        {
            "collection": string(),
            "found": {"type": "boolean", "description": "whether one is the same picture"},
            "candidates": array(ref("Candidate"), "the same picture first, then nearest first"),
        }
    ),
    "Candidate": fields(
        {
            "verdict": {
                "type": "string",
                "enum": list(VERDICTS),
                "description": "identical: the same file byte by byte; identical-pixels: the same picture in another "
                "file; edited: cropped, recompressed, turned, framed...; look-alike: a neighbour, near or far; "
                "unverified: one of which nobody can tell",
            },
            "score": SCORE,
            "evidence": maybe(EVIDENCE),
            "image": ref("Image"),
        }
    ),
    "Embeddings": fields(
        {
            "collection": string(),
            "model": string(),
            "dim": whole(minimum=1),
            "texts": ROWS,
            "images": ROWS,
            "truncated": TRUNCATED,
            "tokens": array(whole(), "of each text"),
            "context": CONTEXT,
        }
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
