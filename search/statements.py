"""What every search asks of the catalog, built once: SQLAlchemy takes as long to build a statement as to run it.

`ids` stands for the ids that are asked for.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import BindParameter, Column, Executable, Select, Table, bindparam, null, select, true

from search.records import State
from search.schema import images, labels, roots, state, tags, texts
from search.types import Facts, Root, Target

TABLES: dict[Target, Table] = {"images": images, "texts": texts}
VECTOR: dict[Target, tuple[Column[Any], Column[Any]]] = {
    "images": (images.c.vector, images.c.checksum),
    "texts": (texts.c.vector, texts.c.checksum),
}
"""A stored vector, and what tells whether it is damaged."""

FACTS = [images.c[fact.name] for fact in fields(Facts)]

IDS: BindParameter[int] = bindparam("ids", expanding=True)

STATE: Select[Any] = select(
    *(state.c[name] for name in State._fields if name != "roots"), *(roots.c[root.name] for root in fields(Root))
).outerjoin_from(state, roots, true())
"""A row for each followed folder, or one without."""

TAG_VERSION = select(state.c.tag_changes, state.c.generation)

IMAGES: Select[Any] = select(images.c.id, images.c.path, *FACTS).where(images.c.id.in_(IDS))
TEXTS = select(texts.c.id, texts.c.text, texts.c.image_id).where(texts.c.id.in_(IDS))
CAPTIONS = select(texts.c.image_id, texts.c.text).where(texts.c.image_id.in_(IDS)).order_by(texts.c.id)
TAGS = (
    select(tags.c.image_id, labels.c.name, tags.c.probability, labels.c.sensitive)
    .join(labels)
    .where(tags.c.image_id.in_(IDS))
    .order_by(tags.c.probability.desc(), tags.c.label_id)
)
ROWS: dict[Target, Executable] = {
    "images": select(images.c.id, *VECTOR["images"], images.c.id, null(), images.c.path, *FACTS).where(
        images.c.id.in_(IDS)
    ),
    "texts": select(texts.c.id, *VECTOR["texts"], images.c.id, texts.c.text, images.c.path, *FACTS)
    .join(images)
    .where(texts.c.id.in_(IDS)),
}
