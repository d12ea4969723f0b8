"""A tower pooled at one token -> the same, computing of its last block what this token needs and no more.

The last block of ViT-B/32 has a twelfth of the operations of its tower, and most are for the other tokens, of which
nobody reads more than keys and values: 7 % of both towers are for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock, Transformer, VisionTransformer

LastStates = Callable[[Transformer, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""A transformer, states, (n, tokens, width), a mask, (tokens, tokens), and a token of each, (n,) -> what it makes of
these, (n, width).
"""


def end_states(transformer: Transformer, states: torch.Tensor, mask: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Satisfies LastStates, computing all of them."""
    return _at(transformer(states, attn_mask=mask), ends)


def only_end_states(
    transformer: Transformer, states: torch.Tensor, mask: torch.Tensor, ends: torch.Tensor
) -> torch.Tensor:
    """Satisfies LastStates, computing of the last block these alone, where it is as open_clip's are. Within
    `attention_in_products`: PyTorch's own attention takes no mask for each text.
    """
    if not _has_plain_end(transformer):
        return end_states(transformer, states, mask, ends)
    *blocks, last = transformer.resblocks
    for block in blocks:
        states = block(states, attn_mask=mask)
    return _one_token(last, states, _at(states, ends).unsqueeze(1), mask[ends][:, None, None]).squeeze(1)


class _FirstToken(torch.nn.Module):
    """A block of a transformer: (n, tokens, width) -> (n, 1, width), what it makes of the first token."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, states: torch.Tensor, attn_mask: None = None) -> torch.Tensor:
        return _one_token(self.block, states, states[:, :1], attn_mask)


def _one_token(
    block: ResidualAttentionBlock, states: torch.Tensor, one: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """What a block makes of `one` of the states, (n, 1, width); the mask is one of (n, heads, 1, tokens)."""
    told = block.ln_1(states)
    seen = one + block.ls_1(block.attn(block.ln_1(one), told, told, need_weights=False, attn_mask=mask)[0])
    out: torch.Tensor = seen + block.ls_2(block.mlp(block.ln_2(seen)))
    return out


def _at(states: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    return states[torch.arange(ends.shape[0], device=ends.device), ends]


def _has_plain_end(transformer: Transformer) -> bool:
    return transformer.batch_first and type(transformer.resblocks[-1]) is ResidualAttentionBlock


def reads_first_token(visual: Any) -> bool:
    """Whether of what the last block of this image tower makes only the first token is read."""
    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and _has_plain_end(visual.transformer)
    )


@contextmanager
def first_token_only(visual: Any) -> Iterator[None]:
    """Meanwhile the last block of the image tower computes its first token alone, where no other one is read."""
    if not reads_first_token(visual):
        yield
        return
    blocks = visual.transformer.resblocks
    last = blocks[-1]
    blocks[-1] = _FirstToken(last).eval()
    try:
        yield
    finally:
        blocks[-1] = last
