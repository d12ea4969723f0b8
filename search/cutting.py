"""A text tower -> the same at the length of the longest text of a batch, where that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import torch

from search.pooling import LastStates, end_states


def may_be_cut(towers: Any) -> bool:
    """Whether the text tower is causal and pooled at the end token, so that it never looks at what stands behind it."""
    return type(towers) is open_clip.CLIP and towers.attn_mask is not None and towers.text_pool_type == "argmax"


def cut_to_longest(towers: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """`towers.encode_text`, without the padding behind the longest text if it may be cut: (n, context) -> (n, dim)."""
    if not may_be_cut(towers):
        return lambda tokens: towers.encode_text(tokens)
    return lambda tokens: encode_cut(towers, tokens[:, : int(tokens.argmax(dim=-1).max()) + 1])


def encode_cut(clip: open_clip.CLIP, tokens: torch.Tensor, last: LastStates = end_states) -> torch.Tensor:
    """CLIP.encode_text of open_clip 3 at any length up to the context: (n, length) -> (n, dim)."""
    length = tokens.shape[1]
    states = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    ends = last(clip.transformer, states, clip.attn_mask[:length, :length], tokens.argmax(dim=-1))
    pooled: torch.Tensor = clip.ln_final(ends)
    projection: Any = clip.text_projection
    if projection is None:
        return pooled
    projected: torch.Tensor = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
    return projected
