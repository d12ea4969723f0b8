"""The attention of open_clip's blocks -> the same in operations that ONNX Runtime computes faster.

PyTorch's own is exported with a transposition of everything before and behind it, and a product whose thirds are taken
apart after it: 3 % of an image tower in fp32 and in int8, and up to 5 % of a text tower.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch.nn import functional


class Attention(torch.nn.Module):
    """torch.nn.MultiheadAttention of its inputs' width, batch first, with its weights: a product each for queries, keys
    and values.
    """

    def __init__(self, attn: torch.nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads = attn.num_heads
        weights, biases = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
        self._asks, self._keys, self._values = map(_linear, weights, biases)
        self._out = attn.out_proj

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,  # noqa: ARG002 (as blocks call it)
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """(n, asking, width) and twice (n, told, width) -> (n, asking, width).

        The mask is added to products of queries and keys: it is one of (asking, told), of (n, 1, asking, told), or, as
        CoCa's texts have it, of (n x heads, asking, told).
        """
        if attn_mask is not None and attn_mask.dim() == 3:
            attn_mask = attn_mask.unflatten(0, (-1, self._heads))
        asks, keys, values = (
            rows.unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for rows in (self._asks(query), self._keys(key), self._values(value))
        )
        heads = functional.scaled_dot_product_attention(asks, keys, values, attn_mask=attn_mask)
        return self._out(heads.transpose(1, 2).flatten(2)), None


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    """One that shares these."""
    with torch.device("meta"):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight, linear.bias = torch.nn.Parameter(weight.detach()), torch.nn.Parameter(bias.detach())
    return linear


@contextmanager
def attention_in_products(towers: Any) -> Iterator[None]:
    """Meanwhile the blocks of the towers compute theirs so, where they are open_clip's plain ones."""
    plain = [block for block in towers.modules() if type(block) is ResidualAttentionBlock]
    blocks: list[Any] = [block for block in plain if block.attn.batch_first]
    before = [block.attn for block in blocks]
    for block, attn in zip(blocks, before, strict=True):
        block.attn = Attention(attn).eval()
    try:
        yield
    finally:
        for block, attn in zip(blocks, before, strict=True):
            block.attn = attn
