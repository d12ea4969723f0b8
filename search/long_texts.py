"""Texts of any length -> unit rows: one that does not fit the text tower is the mean of its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from search.encoder import Encoder

Fits = Callable[[str], bool]

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")  # noqa: RUF001


def encode_long(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, dim). A text with more tokens than the context is cut at sentence ends; the parts' rows are averaged."""
    fit = [tokens <= encoder.context for tokens in encoder.count_tokens(texts)]
    if all(fit):
        return encoder.encode_texts(texts)
    parts = [[text] if fits else split(text, _fits(encoder)) for text, fits in zip(texts, fit, strict=True)]
    rows = encoder.encode_texts([part for of_text in parts for part in of_text])
    starts = np.cumsum([0, *(len(of_text) for of_text in parts[:-1])])
    sums = np.add.reduceat(rows, starts, axis=0)
    normalized: NDArray[np.float32] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return normalized


def split(text: str, fits: Fits) -> list[str]:
    """As many sentences in each part as fit; of a sentence that does not, words, and of such a word, halves."""
    parts: list[str] = []
    for piece in _pieces(text, fits):
        if parts and fits(longer := f"{parts[-1]} {piece}"):
            parts[-1] = longer
        else:
            parts.append(piece)
    return parts


def _pieces(text: str, fits: Fits) -> Iterator[str]:
    for sentence in filter(None, _SENTENCE_END.split(text)):
        if fits(sentence):
            yield sentence
        else:
            for word in sentence.split():
                yield from _halves(word, fits)


def _halves(word: str, fits: Fits) -> Iterator[str]:
    """A word of any length: where no spaces are written, a sentence is one."""
    if fits(word) or len(word) == 1:
        yield word
    else:
        middle = len(word) // 2
        yield from _halves(word[:middle], fits)
        yield from _halves(word[middle:], fits)


def _fits(encoder: Encoder) -> Fits:
    return lambda text: encoder.count_tokens([text])[0] <= encoder.context
