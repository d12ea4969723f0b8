"""Picture files and a classifier -> how probable each label is for each of them, in order, as they are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options
from indexer.load import ahead
from search.classify import Classifier
from search.errors import BadPicture, BadQuery
from search.image import decode_picture, read_file

if TYPE_CHECKING:
    from search.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Classified:
    """`probabilities` is (labels,), or None for a file that could not be read, for the `reason`."""

    path: str
    probabilities: NDArray[np.float32] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    path: str
    pixels: NDArray[np.uint8] | None = None
    reason: str | None = None


def classify_files(
    paths: Iterable[str], encoder: Encoder, classifier: Classifier, options: Options
) -> Iterator[Classified]:
    """One for each path. Files are decoded ahead on threads; a bad one is a value, not the end."""
    sent: deque[tuple[_Read, ...]] = deque()

    def read(path: str) -> _Read:
        try:
            data = read_file(Path(path))
            picture = decode_picture(data, max_pixels=options.max_pixels, short_side=options.short_side(encoder))
        except BadPicture as error:
            return _Read(path, reason=str(error))
        return _Read(path, encoder.preprocess(picture.image))

    def batches() -> Iterator[NDArray[np.uint8]]:
        items = ahead(read, paths, workers=options.workers, look_ahead=options.batch_size + 2 * options.workers)
        while batch := tuple(islice(items, options.batch_size)):
            sent.append(batch)
            good = [item.pixels for item in batch if item.pixels is not None]
            yield np.stack(good) if good else np.empty((0, 1, 1, 3), np.uint8)

    for rows in encoder.encode_batches(batches()):
        probabilities = iter(classifier.probabilities(rows))
        for item in sent.popleft():
            yield Classified(item.path, None if item.pixels is None else next(probabilities), item.reason)


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
