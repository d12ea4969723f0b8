"""A label file -> the tags of a collection, from its stored vectors; the tags of a collection -> facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from indexer.labels import labels_in
from indexer.opening import LoadEncoder
from search.collection import Collection
from search.prompts import templates_of
from search.vocabulary import make_vocabulary


def tag_collection(
    collection: Collection, load_encoder: LoadEncoder, file: Path | None, *, templates: str, threshold: float
) -> dict[str, Any]:
    """Tag every image by the labels of `file`, or take all tags away without one; the facts of what is there then."""
    if file is None:
        collection.catalog.tags.clear()
    else:
        labels = labels_in(None, file)
        collection.tag(make_vocabulary(load_encoder(), labels, templates_of(templates), threshold=threshold))
    return tag_facts(collection)


def tag_facts(collection: Collection) -> dict[str, Any]:
    """How many images have any tag and are hidden, and each label with how many have it."""
    tags = collection.catalog.tags
    return {
        "tagged": tags.images(),
        "hidden": len(tags.hidden("images")),
        "labels": [count._asdict() for count in tags.counts()],
    }
