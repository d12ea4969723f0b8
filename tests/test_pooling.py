"""The last block of an image tower for its first token alone: the same vectors for fewer operations, or left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from search.pooling import first_token_only, reads_first_token
from tests.test_checkpoints import VISION, tiny_clip

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
