"""Picture files and a classifier -> how probable each label is for each of them, in order, as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options
from indexer.encode import encode_files
from search.classify import Classifier

if TYPE_CHECKING:
    from search.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Classified:
    """`probabilities` is (labels,), or None for a file that could not be read, for the `reason`."""

    path: str
    probabilities: NDArray[np.float32] | None = None
    reason: str | None = None


def classify_files(
    paths: Iterable[str], encoder: Encoder, classifier: Classifier, options: Options
) -> Iterator[Classified]:
    """One for each path, in order, as the files are read; a bad one is a value, not the end."""
    for batch in encode_files(paths, encoder, options):
        probabilities = iter(classifier.probabilities(batch.rows))
        for file in batch.files:
            yield Classified(file.path, None if file.reason else next(probabilities), file.reason)
