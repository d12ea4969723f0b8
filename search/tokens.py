"""A tokenizer -> tokens for a text tower, how many a text has, and whether they say anything, on several threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from open_clip.tokenizer import SimpleTokenizer

from search.errors import NoTextTower
from search.languages import in_latin, letters

_CLIPS_SPECIAL = 3
"""Start, end and class, which open_clip adds itself in its mode "clips"."""


class Tokens:
    """The tokens of texts, by one of open_clip's own tokenizers or one of Hugging Face in open_clip's wrapper.

    A model without a text tower has no tokenizer: then every call raises NoTextTower.
    """

    def __init__(self, tokenizer: Any | None) -> None:
        self._tokenizer = tokenizer
        self._using = threading.Lock()  # Hugging Face tokenizers fail when two threads set their padding at once

    @property
    def context(self) -> int:
        """Tokens of a text that the tower reads; 0 without one."""
        return 0 if self._tokenizer is None else int(self._tokenizer.context_length)

    def __call__(self, texts: Sequence[str]) -> Any:
        """(n, context) int64, cut and filled up."""
        with self._using:
            return self._there()(list(texts))

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, with those that are set around it."""
        if not texts:
            return []
        with self._using:
            tokenizer = self._there()
            if isinstance(tokenizer, SimpleTokenizer):
                return [len(tokenizer.encode(text)) + 2 for text in texts]  # start and end
            return _count_hugging_face(tokenizer, texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Whether the script of each text is one that the model can know; texts without a letter are in none.

        OpenAI's tokens spell every script, byte by byte, but the captions that models with these tokens learn from are
        English: one Latin letter is asked for. Other tokenizers tell themselves, by a token for what they do not know.
        """
        with self._using:
            tokenizer = self._there()
            known = in_latin if isinstance(tokenizer, SimpleTokenizer) else partial(_in_vocabulary, tokenizer)
            return [known(text) if letters(text) else True for text in texts]

    def _there(self) -> Any:
        if self._tokenizer is None:
            raise NoTextTower("this model has no text tower; ask with a picture or an image's id")
        return self._tokenizer


def _count_hugging_face(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    clips = tokenizer.tokenizer_mode == "clips"
    found = tokenizer.tokenizer(
        [tokenizer.clean_fn(text) for text in texts], add_special_tokens=not clips, truncation=False, verbose=False
    )
    return [len(ids) + (_CLIPS_SPECIAL if clips else 0) for ids in found["input_ids"]]


def _in_vocabulary(tokenizer: Any, text: str) -> bool:
    """Whether any token stands for something that is written, if there is one that stands for the unknown."""
    words = tokenizer.tokenizer
    ids = words(tokenizer.clean_fn(text), add_special_tokens=False, verbose=False)["input_ids"]
    if words.unk_token_id not in ids:
        return True
    known = words.convert_ids_to_tokens([token for token in ids if token != words.unk_token_id])
    return any(char.isalnum() for token in known for char in token)
