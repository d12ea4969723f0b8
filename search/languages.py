"""Texts that a model cannot know -> one clear error, before they are encoded into something that means nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.errors import BadQuery

if TYPE_CHECKING:
    from search.encoder import Encoder

_SHOWN = 60


def require_read(encoder: Encoder, texts: Sequence[str]) -> None:
    """Raises BadQuery that shows the first text whose script the encoder does not know."""
    for text, read in zip(texts, encoder.reads(texts), strict=True):
        if not read:
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            raise BadQuery(
                f"{shown!r} is in a script that this model does not know; say it in English, or search a "
                "collection of a multilingual model"
            )


def letters(text: str) -> list[str]:
    """Digits, signs and emoji are none."""
    return [char for char in text if unicodedata.category(char).startswith("L")]


def in_latin(text: str) -> bool:
    """Whether any letter is Latin, also in one of the shapes that Unicode has for it, such as full width."""
    names = (unicodedata.name(char, "") for char in unicodedata.normalize("NFKC", "".join(letters(text))))
    return any(name.startswith("LATIN ") for name in names)
