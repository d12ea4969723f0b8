"""`POST /api/v1/score`: the batch format of the published online endpoint for openai-clip-vit-large-patch14.

It takes a table of images and labels and answers with a list. As there, the labels are the texts: no template is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify, request
from numpy.typing import NDArray

from search.errors import BadPicture, BadQuery
from search.prompts import PLACE
from search.query import ImageTerm
from web.body import file_bytes, read_object, string
from web.classify import checked
from web.current import choose_shelf
from web.embed import MAX_ITEMS
from web.fetch import BadUrl
from web.library import Shelf
from web.terms import MAX_URLS, fetched

blueprint = Blueprint("score", __name__, url_prefix="/api/v1")

COLUMNS = ["image", "text"]
_EXAMPLE = '{"input_data": {"columns": ["image", "text"], "index": [0], "data": [["<base64>", "label1, label2"]]}}'
_FIELDS = {"columns", "index", "data"}


@blueprint.post("/score")
def score() -> Response:
    shelf = choose_shelf(request.args.get("collection"))
    rows = _table(read_object(request, ("input_data",), _EXAMPLE, arguments=("collection",)).get("input_data"))
    labels = _labels(rows[0])
    classifier = shelf.classifier(*checked(labels, [PLACE]))
    images = [string(_name(place), row[0]) for place, row in enumerate(rows)]
    if (urls := sum(_is_url(image) for image in images)) > MAX_URLS:
        raise BadQuery(f"{urls} URLs; give {MAX_URLS} at most, and the other images in base64")
    vectors = np.stack([_vector(shelf, _name(place), image) for place, image in enumerate(images)])
    return jsonify([{"probs": row, "labels": labels} for row in classifier.probabilities(vectors).tolist()])


def _table(value: Any) -> list[list[Any]]:
    """The rows, each with an image and perhaps a text."""
    if not isinstance(value, dict) or not {"columns", "data"} <= value.keys() <= _FIELDS:
        raise BadQuery(f"the body is a JSON object like {_EXAMPLE}")
    if value["columns"] != COLUMNS:
        raise BadQuery('columns is another list than ["image", "text"]')
    rows = value["data"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ITEMS:
        raise BadQuery(f"data is a list of 1 to {MAX_ITEMS} rows")
    index = value.get("index", rows)
    if not isinstance(index, list) or len(index) != len(rows):
        raise BadQuery("index is a list with one entry for each row of data")
    for place, row in enumerate(rows):
        if not isinstance(row, list) or not 1 <= len(row) <= len(COLUMNS):
            raise BadQuery(f"{_name(place)} is no list of an image and a text")
    return rows


def _labels(row: list[Any]) -> list[str]:
    """Those of the first row, between commas; the texts of the others are not looked at."""
    text = row[1] if len(row) > 1 else None
    labels = [label.strip() for label in text.split(",") if label.strip()] if isinstance(text, str) else []
    if not labels:
        raise BadQuery(f'{_name(0)} has no labels; its second entry is a text like "label1, label2"')
    return labels


def _vector(shelf: Shelf, name: str, image: str) -> NDArray[np.float32]:
    try:
        # Encoders of base64 for mail break lines, and those who wrote for the published endpoint use one.
        data = fetched(image) if _is_url(image) else file_bytes("the image", "".join(image.split()))
        return shelf.searcher.embedder.embed(ImageTerm(data))
    except (BadPicture, BadUrl, BadQuery) as error:
        raise type(error)(f"{name}: {error}") from error


def _is_url(image: str) -> bool:
    """A colon is no letter of base64."""
    return "://" in image[:10]


def _name(place: int) -> str:
    return f"data[{place}]"
