"""Folders named like what their pictures show -> how often a classifier says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from indexer.classify import Classified
from search.errors import BadQuery


def truths(folder: str, paths: Iterable[str]) -> dict[str, str]:
    """The label of each picture: the name of the folder in `folder` that it lies in, with _ for spaces.

    Pictures in none are left out. Raises BadQuery for fewer than two classes.
    """
    below = {path: PurePath(path).relative_to(folder).parts for path in paths}
    labels = {path: parts[0].replace("_", " ") for path, parts in below.items() if len(parts) > 1}
    if len(classes := set(labels.values())) < 2:
        raise BadQuery(f"{folder} has pictures of {len(classes)} of 2 classes or more; give each a folder")
    return labels


def accuracy(items: Iterable[Classified], of_paths: Mapping[str, str], labels: Sequence[str]) -> dict[str, Any]:
    """Shares in [0, 1] of the pictures whose own label is the most probable (top1) and among the first five (top5).

    `mean_per_class` is the mean of the classes' own top1. A class of which no picture could be read has none.
    """
    ranks: dict[str, list[int]] = {label: [] for label in labels}
    failed = 0
    for item in items:
        label = of_paths[item.path]
        if item.probabilities is None:
            failed += 1
        else:
            order = np.argsort(-item.probabilities, kind="stable").tolist()
            ranks[label].append(order.index(labels.index(label)))
    every = [rank for of_class in ranks.values() for rank in of_class]
    classes = {label: {"pictures": len(found), "top1": _share(found, 1)} for label, found in ranks.items()}
    own = [of_class["top1"] for of_class in classes.values() if of_class["top1"] is not None]
    return {
        "pictures": len(every),
        "failed": failed,
        "top1": _share(every, 1),
        "top5": _share(every, 5),
        "mean_per_class": sum(own) / len(own) if own else None,
        "classes": classes,
    }


def _share(ranks: Sequence[int], first: int) -> float | None:
    """Of the ranks, from 0 on, that are among the first; None without ranks."""
    return sum(rank < first for rank in ranks) / len(ranks) if ranks else None
