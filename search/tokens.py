"""A tokenizer -> how many tokens a text has and how many of them the text tower reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from open_clip.tokenizer import SimpleTokenizer

_CLIPS_SPECIAL = 3
"""Start, end and class, which open_clip adds itself in its mode "clips"."""


def context_of(tokenizer: Any) -> int:
    return int(tokenizer.context_length)


def count_tokens(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """For one of open_clip's own tokenizers, or one of Hugging Face in open_clip's wrapper."""
    if isinstance(tokenizer, SimpleTokenizer):
        return [len(tokenizer.encode(text)) + 2 for text in texts]  # start and end
    clips = tokenizer.tokenizer_mode == "clips"
    found = tokenizer.tokenizer(
        [tokenizer.clean_fn(text) for text in texts], add_special_tokens=not clips, truncation=False, verbose=False
    )
    return [len(ids) + (_CLIPS_SPECIAL if clips else 0) for ids in found["input_ids"]]
