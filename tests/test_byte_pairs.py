"""The tokens of texts without torch, against open_clip's own tokenizer."""

from __future__ import annotations

import random

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from search.byte_pairs import BytePairs
from search.tokens import Tokens

TEXTS = [
    *(
        "",
        "A",
        "a  dog,\tin\nthe snow",
        "Two DOGS can't; I'LL say it's 12.5% or 1234567890",
        "a" * 300,
        "aa baab " * 40,
    ),
    *("Schnee auf den Bäumen 雪 ☃", "İstanbul ΣΑΣ ǅ", "e\u0301 \u0301e", "👩‍👩‍👧"),
    *("fish &amp;amp; chips &lt;3 &eacute;", "caf\u00c3\u00a9", "“quoted”", "\x1b[31mred\x1b[0m", "\ufeffa\u2028b"),
    *("<start_of_text> of <END_OF_TEXT>", "one cat after the other " * 40, "\ud800"),
]


@pytest.fixture(scope="module")
def theirs() -> SimpleTokenizer:
    return SimpleTokenizer()


@pytest.fixture(scope="module")
def ours(theirs: SimpleTokenizer) -> BytePairs:
    return BytePairs([" ".join(pair) for pair in theirs.bpe_ranks], 77)


def random_texts(vocabulary: list[str]) -> list[str]:
    """Printable and not, of every plane, and words that the vocabulary is made of."""
    rng = random.Random(5)
    planes = [(1, 0x7F), (0x80, 0x2FF), (0x300, 0xD7FF), (0xE000, 0x1FFFF)]
    characters = ["".join(chr(rng.randint(*rng.choice(planes))) for _ in range(rng.randint(1, 40))) for _ in range(500)]
    ascii_only = ["".join(chr(rng.randint(1, 0x7F)) for _ in range(rng.randint(1, 60))) for _ in range(500)]
    words = [" ".join(rng.choices(vocabulary, k=rng.randint(1, 20))) for _ in range(500)]
    return characters + ascii_only + words


def test_texts_have_the_tokens_of_open_clip(theirs: SimpleTokenizer, ours: BytePairs) -> None:
    texts = TEXTS + random_texts(list(theirs.encoder))
    np.testing.assert_array_equal(ours(texts, 77), theirs(texts).numpy())


def test_texts_have_as_many_tokens_as_open_clip_counts(theirs: SimpleTokenizer, ours: BytePairs) -> None:
    assert ours.count(TEXTS) == Tokens(theirs).count(TEXTS)


def test_of_so_many_words_alone_tokens_are_kept(theirs: SimpleTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.byte_pairs._KEPT", 2)
    pairs = BytePairs([" ".join(pair) for pair in theirs.bpe_ranks], 77)
    for _ in range(2):
        np.testing.assert_array_equal(pairs(TEXTS, 77), theirs(TEXTS).numpy())
    assert pairs._word.cache_info().currsize == 2


def test_a_batch_is_as_long_as_its_longest_text_or_the_context(ours: BytePairs) -> None:
    assert ours(["a", "a dog in the snow"]).shape == (2, 7)
    assert ours(["a", "dog " * 200]).shape == (2, 77)
    assert ours(["dog " * 200])[0, -1] == ours.end
