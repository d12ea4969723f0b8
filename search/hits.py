"""Ids of images or texts, with scores -> hits: the rows of the catalog that are shown with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from search.catalog import Catalog
from search.types import Hit, Target


def hydrated(catalog: Catalog, target: Target, scores: Mapping[int, float]) -> list[Hit]:
    """Those that have a row, in the order of `scores`, which are by id."""
    texts = catalog.texts(list(scores)) if target == "texts" else None
    image_of = {id_: id_ for id_ in scores} if texts is None else {id_: texts[id_].image_id for id_ in texts}
    images = catalog.images(list(set(image_of.values())))
    return [
        Hit(
            target=target,
            id=id_,
            score=score,
            image_id=image_of[id_],
            path=Path(images[image_of[id_]].path),
            facts=images[image_of[id_]].facts,
            text=texts[id_].text if texts else None,
        )
        for id_, score in scores.items()
        if image_of.get(id_) in images
    ]
