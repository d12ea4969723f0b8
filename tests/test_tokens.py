"""How many tokens a text has, against where the tokenizers themselves begin to cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from search.batching import BatchingEncoder
from search.encoder import load_encoder
from search.tokens import Tokens

TEXTS = ["", "a dog", "Schnee auf den Bäumen 雪 ☃", "two   cats,\none of them black " * 9]


def test_tokens_are_as_many_as_a_context_needs_to_hold_all_of_the_text() -> None:
    tokenizer = SimpleTokenizer()
    assert Tokens(tokenizer).context == 77
    for text, count in zip(TEXTS, Tokens(tokenizer).count(TEXTS), strict=True):
        wide = tokenizer([text], context_length=200)[0]
        assert count == int((wide != 0).sum())


@pytest.mark.parametrize(("mode", "special"), [(None, 2), ("clips", 3)])
def test_tokenizers_of_hugging_face_count_too(tmp_path: Path, mode: str | None, special: int) -> None:
    tokenizer = HFTokenizer(str(word_tokenizer(tmp_path)), context_length=6, clean="whitespace", tokenizer_mode=mode)
    assert Tokens(tokenizer).context == 6
    tokenizer(["a dog"])  # what is set to pad and cut stays behind, and must not cut the count
    assert Tokens(tokenizer).count(["a", "a dog", "a dog a dog a dog"]) == [1 + special, 2 + special, 6 + special]


def test_the_encoder_and_its_batching_count(tiny_model: Path) -> None:
    encoder = load_encoder(str(tiny_model), device="cpu")
    assert encoder.context == BatchingEncoder(encoder).context == 77
    assert encoder.count_tokens(TEXTS) == BatchingEncoder(encoder).count_tokens(TEXTS)
    assert encoder.count_tokens(["a dog", "dog " * 90]) == [4, 92]


def word_tokenizer(folder: Path) -> Path:
    """A Hugging Face tokenizer of two words, which sets a start and an end around a text."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"<s>": 0, "</s>": 1, "<pad>": 2, "<c>": 3, "a": 4, "dog": 5, "?": 6}, "?")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", cls_token="<c>", unk_token="?"
    ).save_pretrained(folder)
    return folder
