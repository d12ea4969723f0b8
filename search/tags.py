"""The labels of a collection and the images that have them as tags, in SQL; every method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    FromClause,
    Select,
    delete,
    distinct,
    func,
    select,
    update,
)

from search import statements
from search.apply import insert_all
from search.classify import Classifier
from search.errors import BadFilter
from search.records import State, Tag
from search.schema import labels, state, tags, texts
from search.sqlite import reading
from search.types import Logits, Target
from search.vocabulary import Vocabulary

Batches = Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]
"""Ids of images, (n,), ascending over all batches, with their unit rows, (n, dim)."""

Version = tuple[int, int]
"""How often tags changed, and the generation of the indexes: what is a hit changes with it alone."""

_NEVER: Version = (-1, -1)
_SHOWN = 20


def tagged(which: ColumnElement[bool], of: FromClause = tags) -> Select[int]:
    """The ids of images that have a tag, by what its label is: SQLite finds few labels' tags by them, not by a join."""
    return select(of.c.image_id).where(of.c.label_id.in_(select(labels.c.id).where(which)))


SENSITIVE: ColumnElement[bool] = labels.c.sensitive


class LabelCount(NamedTuple):
    name: str
    sensitive: bool
    images: int


class Tags:
    """The tags of one catalog. Threads may share it; what they read often is kept until a writer changes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._vocabulary: tuple[Version, Vocabulary | None] = (_NEVER, None)
        self._hidden: dict[Target, tuple[Version, frozenset[int]]] = {}

    def of(self, image_ids: Sequence[int], at: State | None = None) -> dict[int, list[Tag]]:
        """The tags of each of these images that has any, most probable first: now, or not before the state `at`."""
        found: dict[int, list[Tag]] = {}
        if at and not at.tag_changes:  # nothing was ever tagged
            return found
        for image_id, *tag in self._rows(statements.TAGS, ids=image_ids):
            found.setdefault(image_id, []).append(Tag(*tag))
        return found

    def hidden(self, target: Target, at: State | None = None) -> frozenset[int]:
        """The ids of the images that have a sensitive tag, or of their texts: now, or not before the state `at`."""
        version = at.tag_version if at else self._version()
        kept = self._hidden.get(target)
        if kept is None or kept[0] != version:
            sensitive = tagged(SENSITIVE)
            of_texts = select(texts.c.id).where(texts.c.image_id.in_(sensitive))
            rows = self._rows(sensitive.distinct() if target == "images" else of_texts)
            kept = self._hidden[target] = version, frozenset(id_ for (id_,) in rows)
        return kept[1]

    def vocabulary(self) -> Vocabulary | None:
        """What images are tagged by; None in a collection without labels."""
        version = self._version()
        if self._vocabulary[0] != version:
            self._vocabulary = version, self._read_vocabulary()
        return self._vocabulary[1]

    def require(self, names: Sequence[str]) -> None:
        """Raise BadFilter for a name that is no label: nobody has it, and nobody would learn that it is misspelled."""
        if not names:
            return
        known = [name for (name,) in self._rows(select(labels.c.name).order_by(labels.c.id))]
        if strangers := [name for name in names if name not in known]:
            some = f"there are: {', '.join(known[:_SHOWN])}" + (", ..." if len(known) > _SHOWN else "")
            none = "none has one until python -m indexer tag --labels-file FILE"
            raise BadFilter(f"no image can have the tag {strangers[0][:40]!r}; {some if known else none}")

    def counts(self) -> list[LabelCount]:
        """Every label and how many images have it, in the order in which they were given."""
        columns = select(labels.c.name, labels.c.sensitive, func.count(tags.c.image_id)).outerjoin(tags)
        return [LabelCount(*row) for row in self._rows(columns.group_by(labels.c.id).order_by(labels.c.id))]

    def choices(self) -> tuple[tuple[str, ...], bool]:
        """The labels that any image has, by name, without the sensitive ones; and whether there are such."""
        found = [count for count in self.counts() if count.images]
        names = sorted(count.name for count in found if not count.sensitive)
        return tuple(names), len(names) < len(found)

    def images(self) -> int:
        """How many images have a tag."""
        ((count,),) = self._rows(select(func.count(distinct(tags.c.image_id))))
        return int(count)

    def replace(self, vocabulary: Vocabulary, images: Batches) -> None:
        """Take all labels and tags away and tag `images`, which are all there are. Readers see the old tags till then.

        The caller is the only writer.
        """
        with self._engine.begin() as connection:
            _clear(connection)
            insert_all(connection, labels, _label_rows(vocabulary))
            tagged_to = _tag(connection, vocabulary, images)
            _changed(connection, tagged_to=tagged_to, logit_scale=vocabulary.classifier.logits.scale)

    def extend(self, images_after: Callable[[int], Batches]) -> None:
        """Tag the images that came since: `images_after` gives those whose ids are greater."""
        if (vocabulary := self._read_vocabulary()) is None:
            return
        with reading():
            ((tagged_to,),) = self._rows(select(state.c.tagged_to))
        with self._engine.begin() as connection:
            if last := _tag(connection, vocabulary, images_after(tagged_to)):
                _changed(connection, tagged_to=last)

    def clear(self) -> None:
        """Take all labels and tags away."""
        with self._engine.begin() as connection:
            _clear(connection)
            _changed(connection, tagged_to=0, logit_scale=None)

    @reading()
    def _read_vocabulary(self) -> Vocabulary | None:
        columns = (labels.c.name, labels.c.threshold, labels.c.sensitive, labels.c.vector, state.c.logit_scale)
        rows = self._rows(select(*columns).join(state, state.c.id == 1).order_by(labels.c.id))
        if not rows:
            return None
        names, thresholds, sensitive, vectors, scales = zip(*rows, strict=True)
        matrix = np.frombuffer(b"".join(vectors), "<f4").reshape(len(names), -1)
        classifier = Classifier(names, matrix, Logits(scales[0]))  # a bias is the same for all labels: softmax drops it
        return Vocabulary(classifier, np.array(thresholds, np.float32), np.array(sensitive))

    @reading()
    def _version(self) -> Version:
        ((tag_changes, generation),) = self._rows(statements.TAG_VERSION)
        return tag_changes, generation

    def _rows(self, query: Executable, **values: Any) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(query, values).all()


def _clear(connection: Connection) -> None:
    connection.execute(delete(tags))
    connection.execute(delete(labels))


def _changed(connection: Connection, **values: float | None) -> None:
    connection.execute(update(state).values(tag_changes=state.c.tag_changes + 1, **values))


def _label_rows(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The id of a label is its place, from 1 on."""
    return [
        {"id": place, "name": name, "threshold": float(threshold), "sensitive": bool(sensitive), "vector": vector}
        for place, (name, threshold, sensitive, vector) in enumerate(
            zip(
                vocabulary.classifier.labels,
                vocabulary.thresholds,
                vocabulary.sensitive,
                (row.astype("<f4").tobytes() for row in vocabulary.classifier.vectors),
                strict=True,
            ),
            1,
        )
    ]


def _tag(connection: Connection, vocabulary: Vocabulary, images: Batches) -> int:
    """Write the tags of `images`; the greatest of their ids, 0 without any."""
    last = 0
    for ids, vectors in images:
        for rows, places, probabilities in vocabulary.tag(vectors):
            columns = zip(ids[rows].tolist(), (places + 1).tolist(), probabilities.tolist(), strict=True)
            found = [{"image_id": image, "label_id": label, "probability": p} for image, label, p in columns]
            insert_all(connection, tags, found)
        last = int(ids[-1])
    return last
