"""Rows of the catalog with scores -> hits: what is shown with them."""

from __future__ import annotations

from search.records import StoredRow
from search.types import Hit, Target


def hit_of(target: Target, id_: int, score: float, row: StoredRow) -> Hit:
    """The image or the text with this id."""
    return Hit(
        target=target,
        id=id_,
        score=score,
        image_id=row.image_id,
        location=row.path,
        facts=row.facts,
        text=row.text,
    )
