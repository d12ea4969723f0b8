"""Labels of a collection -> which of them the vector of an image has as tags, and how probable each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.classify import Classifier, make_classifier
from search.errors import BadQuery
from search.prompts import Label
from search.settings import TAG_THRESHOLD

if TYPE_CHECKING:
    from search.encoder import Encoder

LEAST_THRESHOLD = 0.01
"""As the probabilities of an image have the sum 1, it has 100 tags at most by this."""

_PROBABILITIES_AT_ONCE = 4_000_000


class Tagged(NamedTuple):
    """Tags of some rows: the place of the row, that of the label, and the probability, (n,) each."""

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """`thresholds` and `sensitive` have one entry for each label of the classifier, (labels,)."""

    classifier: Classifier
    thresholds: NDArray[np.float32]
    sensitive: NDArray[np.bool_]

    def tag(self, images: NDArray[np.float32]) -> Iterator[Tagged]:
        """(n, dim) unit rows -> the tags of each: the labels whose probability is at least their threshold."""
        at_once = max(1, _PROBABILITIES_AT_ONCE // len(self.thresholds))
        for start in range(0, len(images), at_once):
            probabilities = self.classifier.probabilities(images[start : start + at_once])
            rows, labels = np.nonzero(probabilities >= self.thresholds)
            yield Tagged(start + rows, labels, probabilities[rows, labels])


def make_vocabulary(
    encoder: Encoder, labels: Sequence[Label], templates: Sequence[str], *, threshold: float = TAG_THRESHOLD
) -> Vocabulary:
    """`threshold` is that of the labels that have none of their own.

    Raises BadQuery for fewer than two labels, for equal ones, for a name with a comma, for a threshold that is not from
    LEAST_THRESHOLD to 1, and as `make_classifier` does.
    """
    names = [label.name for label in labels]
    if len(names) < 2:
        raise BadQuery(f"{len(names)} labels; probabilities are shares among labels, so give 2 at least")
    if equal := [name for name in names if names.count(name) > 1]:
        raise BadQuery(f"the label {equal[0]!r} is there twice")
    if parted := [name for name in names if "," in name]:
        raise BadQuery(
            f"the label {parted[0][:60]!r} has a comma, which stands between tags in a search; name it shorter, "
            "and give the rest as its prompt in a CSV file"
        )
    thresholds = [threshold if label.threshold is None else label.threshold for label in labels]
    if strange := [value for value in thresholds if not LEAST_THRESHOLD <= value <= 1]:
        raise BadQuery(f"a threshold is {strange[0]:g}; it may be from {LEAST_THRESHOLD:g} to 1")
    return Vocabulary(
        make_classifier(encoder, labels, templates),
        np.array(thresholds, np.float32),
        np.array([label.sensitive for label in labels]),
    )
