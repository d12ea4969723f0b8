"""What is asked: terms, each with a weight; a formula or words -> terms (docs/QUERIES.md)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.errors import BadQuery
from search.npy import map_array

_HELD = r"id:(?P<id>[0-9]{1,18})|upload:(?P<upload>[0-9]{1,4})"
_FILE = r"(?P<file>(?:\.{0,2}/|~/)"
_NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_WEIGHT = rf"(?:\s*\*\s*(?P<weight>{_NUMBER}))?"
_IN_FORMULA = re.compile(
    rf'(?:\s*(?P<sign>[+-]))?\s*(?:"(?P<text>(?:[^"\\]|\\.)+)"|{_HELD}|{_FILE}\S*?)){_WEIGHT}'
    r"(?(file)(?=\s|$)|(?=\s*[+-]|\s*$))\s*",
    re.DOTALL,
)
_ARGUMENT = re.compile(rf"(?:{_HELD}|{_FILE}.*?)){_WEIGHT}", re.DOTALL)
_HELD_WORD = re.compile(rf"(?:{_HELD}){_WEIGHT}")
_AT_END = re.compile(rf"\s*\*\s*({_NUMBER})\s*$")
_TAKEN_AWAY = re.compile(r'(?:^|(?<=\s))-(?:"([^"]+)"|([^\s"-]\S*))')
_SIGNS = {"+": 1.0, "-": -1.0}

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
    """The terms of a command line: a formula, in which pictures may be paths, or words beside pictures and ids.

    Beside pictures and ids, which are terms of their own, an argument + or - is the sign of what follows it. Raises
    BadQuery when nothing is asked.
    """
    terms = _formula(" ".join(words), (), files=True) or _beside(words)
    if not terms:
        raise BadQuery('an empty query; ask with words, a picture or an image: "a dog in the snow", ./dog.jpg, id:123')
    return terms


def parse_text(text: str, uploads: Sequence[bytes] = ()) -> list[Term]:
    """The terms of a text and of the pictures that came with it; none where there is neither.

    A formula, such as `"a beach" + id:12*0.5 - "people"`, has nothing but terms with signs between them, and its texts
    stand in quotes; `upload:1` is the first of the pictures. Any other text is one term for the words, and one of
    weight -1 for each `-word` or `-"several words"`. Pictures that are not spoken of are added.
    """
    terms = _formula(text, uploads, files=False)
    if terms is None:
        return [*map(ImageTerm, uploads), *_plain(text)]
    spoken_of = [term.source for term in terms if isinstance(term, ImageTerm)]
    return [*(ImageTerm(data) for data in uploads if not any(data is source for source in spoken_of)), *terms]


def _formula(text: str, uploads: Sequence[bytes], *, files: bool) -> list[Term] | None:
    """The terms of a formula; None for any other text."""
    terms: list[Term] = []
    place = 0
    while place < len(text):
        found = _IN_FORMULA.match(text, place)
        if not found or (terms and not found["sign"]) or (found["file"] and not files):
            return None
        terms.append(_signed(found["sign"], _term(found, uploads)))
        place = found.end()
    return terms


def _beside(words: Sequence[str]) -> list[Term]:
    """The pictures and ids among the arguments of a command line, and the words beside them."""
    arguments = {word: found for word in words if (found := _ARGUMENT.fullmatch(word))}
    if not arguments:
        return _plain(" ".join(words), _ARGUMENT)
    terms: list[Term] = []
    plain: list[str] = []
    runs: list[tuple[str, list[str]]] = []
    sign, run = "", plain
    for word in words:
        if word in _SIGNS and sign:
            raise BadQuery(f"{sign} {word}: there is nothing between the signs; say what to add or take away")
        if word in _SIGNS:
            sign = word
        elif word in arguments:
            terms.append(_signed(sign, _term(arguments[word], ())))
            sign, run = "", plain
        else:
            if sign:
                run = []
                runs.append((sign, run))
            run.append(word)
            sign = ""
    if sign:
        raise BadQuery(f"the query ends with {sign}; say what to add or take away")
    text = " ".join(plain)
    beside = [_weighted(text)] if _AT_END.search(text) else _plain(text, _ARGUMENT)
    return [*terms, *beside, *(_signed(sign, _weighted(" ".join(run))) for sign, run in runs)]


def _term(found: re.Match[str], uploads: Sequence[bytes]) -> Term:
    """The term that `found` of a formula, or an argument, is; with its weight."""
    weight = float(found["weight"] or 1)
    if found["id"]:
        return IdTerm(int(found["id"]), weight)
    if found["upload"]:
        return ImageTerm(_upload(int(found["upload"]), uploads), weight)
    if found["file"]:
        path = _path(found["file"])
        return VectorTerm(_read_vector(path), weight) if path.suffix == ".npy" else ImageTerm(path, weight)
    return TextTerm(re.sub(r"\\(.)", r"\1", found["text"], flags=re.DOTALL), weight)


def _path(text: str) -> Path:
    """Only ~/ is the home directory; Path would look for that of somebody called name in ./~name."""
    try:
        return Path(text).expanduser() if text.startswith("~/") else Path(text)
    except RuntimeError as error:
        raise BadQuery(f"{text}: no home directory is known here; give the whole path") from error


def _upload(number: int, uploads: Sequence[bytes]) -> bytes:
    if not 1 <= number <= len(uploads):
        raise BadQuery(f"there is no upload:{number}; {len(uploads)} came with the query, the first as upload:1")
    return uploads[number - 1]


def _read_vector(file: Path) -> NDArray[np.float32]:
    """(dim,) from a file of (dim,) or (1, dim) numbers."""
    try:
        vector = map_array(file)
    except OSError as error:
        raise BadQuery(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise BadQuery(f"{file} is no .npy file of numbers: {error}") from error
    if vector.dtype.kind not in "fiu" or vector.shape[-1:] != (vector.size,):
        raise BadQuery(f"{file} holds no vector; give the numbers of one, of the shape (dim,)")
    return vector.reshape(-1).astype(np.float32)


def _signed(sign: str, term: Term) -> Term:
    return replace(term, weight=-term.weight) if sign == "-" else term


def _weighted(text: str) -> TextTerm:
    """Words with a weight behind them, or without."""
    found = _AT_END.search(text)
    return TextTerm(text[: found.start()], float(found[1])) if found else TextTerm(text)


def _plain(text: str, term: re.Pattern[str] = _HELD_WORD) -> list[Term]:
    """One term for the words, and one for each that is taken away. No word beside a sign may be a `term` of a sum."""
    words = text.split()
    if any(word in _SIGNS for word in words) and any(map(term.fullmatch, words)):
        raise BadQuery(
            'in a sum every text stands in quotes, such as "a beach" + id:12*0.5 - "people", and a path has no spaces; '
            "beside others it may have them as an argument of its own"
        )
    taken = [TextTerm(quoted or word, -1.0) for quoted, word in _TAKEN_AWAY.findall(text)]
    left = " ".join(_TAKEN_AWAY.sub("", text).split())
    return [*([TextTerm(left)] if left else []), *taken]


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
    wide = vector.astype(np.float64)  # the squares of large and small numbers are beyond float32
    length = float(np.linalg.norm(wide))
    if not np.isfinite(length) or length == 0:
        raise BadQuery("the query's vector has no direction; its terms cancel out or are not numbers")
    return (wide / length).astype(np.float32)
