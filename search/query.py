"""What is asked: terms, each with a weight, and words -> terms."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.errors import BadQuery

_ID = re.compile(r"id:(\d+)")
_FILE = re.compile(r"\.{0,2}/|~/")
_TAKEN_AWAY = re.compile(r'(?:^|(?<=\s))-(?:"([^"]+)"|([^\s"-]\S*))')

MAX_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class TextTerm:
    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImageTerm:
    """A picture in a file, or its bytes."""

    source: Path | bytes
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class IdTerm:
    """An image of the collection, by its id; its stored vector is used."""

    id: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class VectorTerm:
    """A vector of the collection's encoder, (dim,), of any length but 0."""

    vector: NDArray[np.float32]
    weight: float = 1.0


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
    terms += parse_text(" ".join(texts))
    if not terms:
        raise BadQuery('an empty query; ask with words, a picture or an image: "a dog in the snow", ./dog.jpg, id:123')
    return terms


def parse_text(text: str) -> list[TextTerm]:
    """One term for the words, and one of weight -1 for each `-word` or `-"several words"`; none for an empty text."""
    taken = [TextTerm(quoted or word, -1.0) for quoted, word in _TAKEN_AWAY.findall(text)]
    words = " ".join(_TAKEN_AWAY.sub("", text).split())
    return ([TextTerm(words)] if words else []) + taken


def checked(terms: Sequence[Term]) -> Sequence[Term]:
    """`terms` if something is asked for, with weights that make sense; BadQuery otherwise."""
    if not terms:
        raise BadQuery("an empty query: give at least one term")
    for term in terms:
        if not (math.isfinite(term.weight) and 0 < abs(term.weight) <= MAX_WEIGHT):
            raise BadQuery(f"a weight is {term.weight}; it may be from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, but not 0")
    if all(term.weight < 0 for term in terms):
        raise BadQuery("the query only takes away; say what to look for too")
    return terms


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise BadQuery("the query's vector has no direction; its terms cancel out or are not numbers")
    return (vector / length).astype(np.float32)
