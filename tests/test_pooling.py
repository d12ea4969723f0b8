"""The last block of a tower for the one token that is read: the same vectors for fewer operations, or left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from torch.utils.flop_counter import FlopCounterMode

from search.attention import Attention, attention_in_products
from search.cutting import encode_cut
from search.pooling import first_token_only, only_end_states, reads_first_token
from tests.test_checkpoints import TEXT, VISION, tiny_clip

POOLED_AT_FIRST: list[dict[str, Any]] = [
    {},
    {"quick_gelu": True},
    {"vision_cfg": {**VISION, "ls_init_value": 0.1}},
    {"vision_cfg": {**VISION, "final_ln_after_pool": True}},
    {"vision_cfg": {**VISION, "no_ln_pre": True}},
    {"vision_cfg": {**VISION, "layers": 1}},
]
OTHERS: list[dict[str, Any]] = [
    {"vision_cfg": {**VISION, "pool_type": "avg"}},
    {"vision_cfg": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2}},
    {"vision_cfg": {**VISION, "block_type": "custom"}},
    {"vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}},
]


class _Doubling(torch.nn.Module):
    def forward(self, states: torch.Tensor, attn_mask: torch.Tensor) -> torch.Tensor:
        assert attn_mask.shape == (states.shape[1], states.shape[1])
        return 2 * states


def encode(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The vectors and how many operations they took."""
    counter = FlopCounterMode(display=False)
    with counter:
        rows = model.eval().encode_image(pixels)
    return rows.detach(), counter.get_total_flops()


@pytest.mark.parametrize("changes", POOLED_AT_FIRST, ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_vectors_stay_and_operations_go(changes: dict[str, Any], count: int) -> None:
    model: Any = tiny_clip(**changes)
    pixels = torch.rand(count, 3, 32, 32)
    whole, all_of_them = encode(model, pixels)
    last = model.visual.transformer.resblocks[-1]
    with first_token_only(model.visual):
        rows, fewer = encode(model, pixels)
    torch.testing.assert_close(rows, whole, atol=1e-6, rtol=1e-5)
    tokens = 1 + (VISION["image_size"] // VISION["patch_size"]) ** 2
    saved = 2 * count * (tokens - 1) * 10 * VISION["width"] ** 2  # a query, an answer, 4 wide and 4 back of 12 in all
    assert all_of_them - fewer == saved
    assert model.visual.transformer.resblocks[-1] is last
    torch.testing.assert_close(encode(model, pixels)[0], whole, atol=0, rtol=0)


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_towers_that_read_more_are_left_alone(changes: dict[str, Any]) -> None:
    model: Any = tiny_clip(**changes)
    pixels = torch.rand(2, 3, 32, 32)
    assert not reads_first_token(model.visual)
    whole = encode(model, pixels)
    with first_token_only(model.visual):
        rows = encode(model, pixels)
    torch.testing.assert_close(rows[0], whole[0], atol=0, rtol=0)
    assert rows[1] == whole[1]


@pytest.mark.parametrize("changes", [{}, {"text_cfg": {**TEXT, "ls_init_value": 0.1}}], ids=str)
def test_texts_of_any_length_stay_and_operations_go(changes: dict[str, Any]) -> None:
    model: Any = tiny_clip(**changes).eval()
    end = TEXT["vocab_size"] - 1
    tokens = torch.randint(1, end, (3, 12))
    for row, place in zip(tokens, (11, 4, 1), strict=True):
        row[place], row[place + 1 :] = end, 0
    whole = model.encode_text(torch.nn.functional.pad(tokens, (0, TEXT["context_length"] - 12)))
    counters = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with counters[0]:
        every = encode_cut(model, tokens)
    with attention_in_products(model), counters[1]:
        last = encode_cut(model, tokens, only_end_states)
    torch.testing.assert_close(every, whole, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(last, whole, atol=1e-6, rtol=1e-5)
    saved = 2 * 3 * 11 * 10 * TEXT["width"] ** 2
    assert counters[0].get_total_flops() - counters[1].get_total_flops() == saved


def test_a_block_of_another_kind_is_computed_whole() -> None:
    model: Any = tiny_clip().eval()
    model.transformer.resblocks[-1] = _Doubling()
    tokens = torch.tensor([[1, 2, TEXT["vocab_size"] - 1]])
    torch.testing.assert_close(encode_cut(model, tokens, only_end_states), encode_cut(model, tokens), atol=0, rtol=0)


@pytest.mark.parametrize("shape", [None, (5, 7), (12, 5, 7)], ids=str)
def test_attention_is_that_of_pytorch(shape: tuple[int, ...] | None) -> None:
    attn = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    asks, keys, values = torch.rand(3, 5, 16), torch.rand(3, 7, 16), torch.rand(3, 7, 16)
    mask = None if shape is None else torch.rand(shape).log()
    torch.nn.init.normal_(attn.in_proj_bias)
    expected = attn(asks, keys, values, need_weights=False, attn_mask=mask)[0]
    found = Attention(attn)(asks, keys, values, attn_mask=mask)[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("changes", [*POOLED_AT_FIRST, *OTHERS], ids=str)
def test_attention_in_products_gives_the_same_and_is_given_back(changes: dict[str, Any]) -> None:
    model: Any = tiny_clip(**changes).eval()
    pixels, tokens = torch.rand(2, 3, 32, 32), torch.tensor([[1, 2, TEXT["vocab_size"] - 1]])
    before = [id(module) for module in model.modules()]
    rows = model.encode_image(pixels), encode_cut(model, tokens)
    with attention_in_products(model):
        blocks = [module for module in model.modules() if type(module) is ResidualAttentionBlock]
        assert blocks and all(type(block.attn) is Attention for block in blocks)
        others = model.encode_image(pixels), encode_cut(model, tokens)
    torch.testing.assert_close(others, rows, atol=1e-6, rtol=1e-5)
    assert [id(module) for module in model.modules()] == before
