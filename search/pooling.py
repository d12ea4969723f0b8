"""An image tower pooled at its first token -> the same, computing of its last block what this token needs and no more.

The last block of ViT-B/32 has a twelfth of its operations, and most are for the other 49 tokens, of which nobody
reads more than keys and values: 7 % of the tower are for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer


class _FirstToken(torch.nn.Module):
    """A block of a transformer: (n, tokens, width) -> (n, 1, width), what it makes of the first token."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, states: torch.Tensor, attn_mask: None = None) -> torch.Tensor:
        block = self.block
        keys = block.ln_1(states)
        first = states[:, :1] + block.ls_1(block.attention(keys[:, :1], keys, keys, attn_mask))
        out: torch.Tensor = first + block.ls_2(block.mlp(block.ln_2(first)))
        return out


def reads_first_token(visual: Any) -> bool:
    """Whether of what the last block of this image tower makes only the first token is read."""
    return (
        isinstance(visual, VisionTransformer)
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and visual.transformer.batch_first
        and type(visual.transformer.resblocks[-1]) is ResidualAttentionBlock
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
