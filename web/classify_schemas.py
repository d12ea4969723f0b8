"""The shapes of labels: classification, tags, what is near to an image; as schemas.py has those of searching."""

from __future__ import annotations

from search.prompts import PLACE, PLAIN, TEMPLATE_SETS
from web.classify import MAX_PROMPTS
from web.embed import MAX_ITEMS
from web.order_schemas import AFTER
from web.schemas import BASE64, COLLECTION, FILE, HITS, IMAGE_ID, SCORE, TEXT, URL, WHERE, K
from web.score import COLUMNS
from web.shapes import Schema, array, fields, number, ref, some, string
from web.terms import MAX_URLS
from web.texts import NEAREST_TEXTS

LABELS = {
    **array({**TEXT, "description": "what a picture may show"}, f"times the templates {MAX_PROMPTS:,} at most"),
    "minItems": 1,
    "maxItems": MAX_PROMPTS,
}
SET = {"type": "string", "enum": list(TEMPLATE_SETS)}
OWN = array({**TEXT, "description": f"{PLACE} is where the label goes"})
TEMPLATES = {"oneOf": [SET, OWN], "default": PLAIN, "description": "the name of a set, or some of one's own"}
IMAGES = f"with those by URL and id {MAX_ITEMS} at most"
URLS = {**array(URL, "pictures"), "maxItems": MAX_URLS}
IDS = {**array(IMAGE_ID, "of images of the collection"), "maxItems": MAX_ITEMS}

CLASSIFICATION: dict[str, Schema] = {
    "Tag": fields(
        {
            "name": string(),
            "probability": number("the softmax over all labels that the collection is tagged by"),
            "sensitive": {"type": "boolean", "description": "whether the image is hidden unless asked for"},
        }
    ),
    "TextsBody": some(
        {
            "labels": {**LABELS, "minItems": 0},
            "templates": TEMPLATES,
            "k": {**K, "default": NEAREST_TEXTS},
            "collection": COLLECTION,
            "where": WHERE,
            "filter": ref("Filter"),
            "after": AFTER,
        }
    ),
    "Texts": fields({**HITS, "labels": array(ref("NearestLabel"), "nearest first; none where there are no labels")}),
    "NearestLabel": fields(
        {"label": string(), "score": SCORE, "probability": number("the softmax over all labels that were compared")}
    ),
    "ClassifyBody": fields(
        {
            "images": {**array(BASE64, IMAGES), "maxItems": MAX_ITEMS},
            "urls": URLS,
            "image_ids": IDS,
            "labels": LABELS,
            "templates": TEMPLATES,
            "collection": COLLECTION,
        },
        optional=("images", "urls", "image_ids", "templates", "collection"),
    ),
    "ClassifyForm": fields(
        {
            "images": {**array(FILE, IMAGES), "maxItems": MAX_ITEMS},
            "urls": URLS,
            "image_ids": IDS,
            "labels": LABELS,
            "templates": {**OWN, "description": f"the name of a set ({', '.join(TEMPLATE_SETS)}), or one's own"},
            "collection": COLLECTION,
        },
        optional=("images", "urls", "image_ids", "templates", "collection"),
    ),
    "Classes": fields(
        {
            "collection": string(),
            "model": string(),
            "labels": array(string(), "as given"),
            "probabilities": array(
                array(number()), "a row for each image, files first, those by id last, with the sum 1"
            ),
            "logits_per_image": array(array(number()), "scale * cosine + bias, a row for each image"),
            "logits_per_text": array(array(number()), "the same, a row for each label"),
        }
    ),
    "ScoreBody": fields(
        {
            "input_data": fields(
                {
                    "columns": {"type": "array", "const": COLUMNS, "items": string()},
                    "index": array({"type": ["integer", "string"]}, "one for each row; not looked at"),
                    "data": {
                        **array(
                            {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1, "maxItems": 2},
                            "rows of an image (base64, or a URL where the server fetches such) and a text; that of the "
                            "first row has the labels, between commas",
                        ),
                        "minItems": 1,
                        "maxItems": MAX_ITEMS,
                    },
                },
                optional=("index",),
            )
        }
    ),
    "Score": fields({"probs": array(number(), "with the sum 1"), "labels": array(string(), "of the first row")}),
}
