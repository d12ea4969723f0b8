"""The catalog -> what indexes are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from search.catalog import Catalog
from search.changes import STORED
from search.index import Ids, Vectors
from search.types import Facts, Target


@dataclass(frozen=True, slots=True)
class Source:
    """The vectors of a catalog, of `dim` dimensions, and those of texts to measure with, (n, dim), if there are any."""

    catalog: Catalog
    dim: int
    background: Vectors | None = None

    def vectors(self, target: Target, after: int = 0) -> Iterator[tuple[Ids, Vectors]]:
        """The ids after `after`, (n,), ascending, and their rows, (n, dim), in batches."""
        for ids, stored, _ in self.catalog.bulk.vectors(target, after):
            yield ids, np.frombuffer(b"".join(stored), STORED).reshape(len(ids), -1)

    def facts(self, target: Target, ids: Ids) -> list[Facts]:
        """What is known of each of the images, or of the images of the texts; the caller is the only writer."""
        asked = ids.tolist()
        if target == "texts":
            texts = self.catalog.texts(asked)
            asked = [texts[id_].image_id for id_ in asked]
        images = self.catalog.images(list(set(asked)))
        return [images[id_].facts for id_ in asked]
