"""The text tower at the length of the longest text gives what it gives at its whole context."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch

from search.cutting import cut_to_longest

TEXTS = ["a", "a dog in the snow", "two cats and a very long story of what they did " * 3, "", "words " * 200]


@pytest.fixture
def clip(tiny_model: Path) -> open_clip.CLIP:
    return open_clip.create_model(f"local-dir:{tiny_model}").eval()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_batch_of_any_lengths_has_the_embeddings_of_the_whole_context(clip: open_clip.CLIP, count: int) -> None:
    tokens = open_clip.get_tokenizer("ViT-B-32")(TEXTS[:count])
    with torch.inference_mode():
        assert torch.allclose(cut_to_longest(clip)(tokens), clip.encode_text(tokens), atol=1e-5)


@pytest.fixture
def lengths(clip: open_clip.CLIP) -> list[int]:
    """How many tokens the tower computed, a number a call."""
    seen: list[int] = []
    clip.transformer.register_forward_hook(lambda _module, _inputs, states: seen.append(states.shape[1]))
    return seen


def test_less_is_computed(clip: open_clip.CLIP, lengths: list[int]) -> None:
    cut_to_longest(clip)(open_clip.get_tokenizer("ViT-B-32")(TEXTS[:2]))
    assert lengths == [7]  # start, five words, end


@pytest.mark.parametrize(
    ("name", "value"), [("text_pool_type", "first"), ("text_pool_type", "last"), ("attn_mask", None)]
)
def test_a_tower_that_looks_at_what_follows_reads_all_of_the_context(
    clip: open_clip.CLIP, lengths: list[int], name: str, value: object
) -> None:
    setattr(clip, name, value)
    tokens = open_clip.get_tokenizer("ViT-B-32")(TEXTS[:2])
    with torch.inference_mode():
        assert torch.equal(cut_to_longest(clip)(tokens), clip.encode_text(tokens))
    assert lengths == [77, 77]


def test_a_tower_of_another_kind_is_left_alone() -> None:
    tower = torch.nn.Module()
    tower.encode_text = torch.nn.Identity()
    tokens = torch.ones(2, 77)
    assert cut_to_longest(tower)(tokens) is tokens
