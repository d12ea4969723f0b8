"""Picture files and a classifier -> how probable each label is for each of them, in order, as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options
from indexer.encode import encode_files
from search.classify import Classifier
from search.errors import BadQuery

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


def labels_in(text: str | None, file: Path | None) -> list[str]:
    """The labels between the commas of `text`, or on the lines of `file`, each once. Raises BadQuery without any."""
    try:
        parts = file.read_text(encoding="utf-8-sig").splitlines() if file else (text or "").split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuery(f"{file} cannot be read as text: {error}") from error
    labels = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not labels:
        raise BadQuery("no labels; name them like --labels dog,cat or a line each in --labels-file")
    return labels
