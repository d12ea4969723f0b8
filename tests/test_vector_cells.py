"""Near neighbours that are looked for in cells are those of comparing all vectors."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.duplicates import SIMILAR_SCORE, find_duplicates
from search.exact_index import ExactIndex
from search.index import Vectors
from search.types import EncoderIdentity, Facts
from search.vector_cells import in_cells

DIM = 32
SEED = 5


def rows_with_copies(count: int) -> Vectors:
    """Around a common mean as those of a model are; to every tenth there is a near copy at the end."""
    chance = np.random.default_rng(SEED)
    rows = chance.normal(size=(count, DIM)) + 0.5
    copies = rows[::10] + 0.15 * chance.normal(size=(len(rows[::10]), DIM))
    both = np.concatenate([rows, copies]).astype(np.float32)
    return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True))


def near(rows: Vectors, start: int = 0) -> set[tuple[int, int]]:
    """Ids, counted from 1, of all pairs with a score of SIMILAR_SCORE or more of which one is at `start` or later."""
    first, second = np.nonzero(np.triu(rows @ rows.T, 1) >= SIMILAR_SCORE)
    return {(int(one) + 1, int(other) + 1) for one, other in zip(first, second, strict=True) if other >= start}


def add(collection: Collection, rows: Vectors, start: int = 0) -> None:
    names = [f"/{number}.png" for number in range(start, start + len(rows))]
    added = [
        NewImage(FileStamp(name, 1, 1), name.encode(), Facts(1, 1, "PNG"), row)
        for name, row in zip(names, rows, strict=True)
    ]
    collection.catalog.apply(Changes(added=added))
    collection.publish()


def linked(collection: Collection) -> list[set[int]]:
    groups = find_duplicates(collection, "similar", stop=threading.Event())
    return sorted(({image.id for image in group.images} for group in groups), key=min)


def joined(pairs: set[tuple[int, int]]) -> list[set[int]]:
    """The groups that pairs make."""
    groups: list[set[int]] = []
    for pair in pairs:
        touched = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touched] + [set(pair).union(*touched)]
    return sorted(groups, key=min)


def test_cells_find_the_near_neighbours_that_comparing_all_finds() -> None:
    rows = rows_with_copies(5_000)
    ids = np.arange(1, len(rows) + 1)
    scores, found = in_cells(ExactIndex.build(DIM, [(ids, rows)]), DIM)(rows, 21)
    one, at = np.nonzero((scores >= SIMILAR_SCORE) & (found != ids[:, np.newaxis]))
    pairs = {(min(a, b), max(a, b)) for a, b in zip(ids[one].tolist(), found[one, at].tolist(), strict=True)}
    assert pairs == near(rows)
    assert len(pairs) >= 500
    true = np.einsum("nd,nd->n", rows[one], rows[found[one, at] - 1])
    np.testing.assert_allclose(scores[one, at], true, atol=1e-3)


def test_similar_images_are_the_same_many_at_once_and_few_after_them(tmp_path: Path) -> None:
    rows = rows_with_copies(1_500)
    collection = Collection.create(tmp_path, EncoderIdentity.claim("random", DIM))
    add(collection, rows[:1_600])
    assert linked(collection) == joined(near(rows[:1_600]))
    add(collection, rows[1_600:], 1_600)
    assert linked(collection) == joined(near(rows)), "fifty more are compared with all"
    collection.close()
