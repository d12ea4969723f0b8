"""A text -> the tokens that open_clip's own tokenizer makes of it, out of its list of merges and without torch."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import regex
from numpy.typing import NDArray

_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_SIGNS = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + place) for place, byte in enumerate(_OTHERS)}
"""A byte -> the character that stands for it in merges, in the order of their tokens."""

_END_OF_WORD = "</w>"
_SPECIAL = ("<start_of_text>", "<end_of_text>")
_KEPT = 50_000
"""Of so many words the tokens are kept for the next time."""

_WORD = regex.compile(
    "|".join(_SPECIAL) + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


class BytePairs:
    """CLIP's byte pair encoding of texts in lower case, as open_clip's SimpleTokenizer does it (Radford et al., 2021).

    `merges` are pairs of signs as "a b", the ones that are merged first before the others.
    """

    def __init__(self, merges: Sequence[str], context: int) -> None:
        self.context = context
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        signs = list(_SIGNS.values())
        parts = [
            *signs,
            *(sign + _END_OF_WORD for sign in signs),
            *(pair.replace(" ", "") for pair in merges),
            *_SPECIAL,
        ]
        self._tokens_of = {part: token for token, part in enumerate(parts)}
        self.start, self.end = (self._tokens_of[word] for word in _SPECIAL)
        self._word = lru_cache(_KEPT)(self._tokens_of_word)

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, with the start and the end."""
        return [len(self._tokens(text)) + 2 for text in texts]

    def __call__(self, texts: Sequence[str], length: int | None = None) -> NDArray[np.int64]:
        """(n, length), filled up with 0; a text that is longer than the context is cut. By default the longest's."""
        rows = [[self.start, *self._tokens(text)[: self.context - 2], self.end] for text in texts]
        tokens = np.zeros((len(rows), length or max(map(len, rows))), np.int64)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = row
        return tokens

    def _tokens(self, text: str) -> list[int]:
        return [token for word in _WORD.findall(_clean(text)) for token in self._word(word)]

    def _tokens_of_word(self, word: str) -> list[int]:
        if word in _SPECIAL:
            return [self._tokens_of[word]]
        signs = [_SIGNS[byte] for byte in word.encode()]
        return self._merged([*signs[:-1], signs[-1] + _END_OF_WORD])

    def _merged(self, parts: list[str]) -> list[int]:
        """Of all neighbours the pair that ranks first is merged, wherever it stands, until none is left."""
        while len(parts) > 1:
            first = min(map(" ".join, pairwise(parts)), key=lambda pair: self._ranks.get(pair, math.inf))
            if first not in self._ranks:
                break
            parts = _merge(parts, first)
        return [self._tokens_of[part] for part in parts]


def _merge(parts: list[str], pair: str) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and f"{merged[-1]} {part}" == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _clean(text: str) -> str:
    if not (text.isascii() and text.isprintable() and "&" not in text):
        from ftfy import fix_text  # slow to import, and leaves everything else as it is

        text = html.unescape(html.unescape(fix_text(text)))
    return " ".join(text.split()).lower()
