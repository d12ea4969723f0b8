"""Ranked hits -> groups of near-identical ones, each behind the first of them.

Going down the whole ranking, a hit stands behind the first leader whose vector has a cosine of ALIKE or more with its
own, and leads a group where there is none. So what leads does not depend on what comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from search.index import Vectors

ALIKE = 0.95
"""As of `similar` duplicates."""

REACH = 2_000
"""So many hits a page looks at before it ends with fewer groups than asked for."""


class Groups(NamedTuple):
    """The places of leaders with those of the hits behind each; and where the next page begins."""

    found: list[tuple[int, list[int]]]
    end: int


def leaders(rows: Vectors) -> list[int]:
    """For each of the unit rows, (n, dim), by rank: the place of its leader, its own where it leads."""
    leading: list[int] = []
    vectors = np.empty_like(rows)
    found = []
    for place, row in enumerate(rows):
        alike = np.flatnonzero(vectors[: len(leading)] @ row >= ALIKE)
        if len(alike):
            found.append(leading[alike[0]])
        else:
            vectors[len(leading)] = row
            leading.append(place)
            found.append(place)
    return found


def groups_from(start: int, leaders: Sequence[int], count: int) -> Groups:
    """At most `count` groups that begin at `start` or later, with their hits up to where the one after them begins.

    What stands behind a leader before `start` is left out: its group has been shown.
    """
    behind: dict[int, list[int]] = {}
    for place in range(start, len(leaders)):
        leader = leaders[place]
        if leader == place:
            if len(behind) == count:
                return Groups(list(behind.items()), place)
            behind[place] = []
        elif leader in behind:
            behind[leader].append(place)
    return Groups(list(behind.items()), len(leaders))
