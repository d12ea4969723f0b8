"""What is asked: terms -> one unit vector."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.errors import BadQuery

_ID = re.compile(r"id:(\d+)")
_FILE = re.compile(r"\.{0,2}/|~/")


@dataclass(frozen=True, slots=True)
class TextTerm:
    text: str


@dataclass(frozen=True, slots=True)
class ImageTerm:
    """A picture in a file, or its bytes."""

    source: Path | bytes


@dataclass(frozen=True, slots=True)
class IdTerm:
    """An image of the collection, by its id; its stored vector is used."""

    id: int


@dataclass(frozen=True, slots=True)
class VectorTerm:
    """A vector of the collection's encoder, (dim,), of any length but 0."""

    vector: NDArray[np.float32]


Term = TextTerm | ImageTerm | IdTerm | VectorTerm


def parse(words: Sequence[str]) -> list[Term]:
    """The terms of a command line: `id:123`, a path that begins with `./`, `/` or `~/`; the other words are one text.

    Raises BadQuery when nothing is asked.
    """
    terms: list[Term] = []
    texts = []
    for word in words:
        if found := _ID.fullmatch(word):
            terms.append(IdTerm(int(found[1])))
        elif _FILE.match(word):
            terms.append(ImageTerm(Path(word).expanduser()))
        else:
            texts.append(word)
    if text := " ".join(texts).strip():
        terms.append(TextTerm(text))
    if not terms:
        raise BadQuery('an empty query; ask with words, a picture or an image: "a dog in the snow", ./dog.jpg, id:123')
    return terms


def combine(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The unit vector, (dim,), of the sum of the terms' unit vectors."""
    return unit(np.sum(vectors, axis=0))


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise BadQuery("the query's vector has no direction; its terms cancel out or are not numbers")
    return (vector / length).astype(np.float32)
