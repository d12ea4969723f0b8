"""A text tower -> the same at the length of the longest text of a batch, where that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import torch


def cut_to_longest(towers: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """`towers.encode_text`, without the padding behind the longest text: (n, context) -> (n, dim).

    A causal tower that is pooled at the end token never looks at what stands behind it. Any other is left alone.
    """
    if type(towers) is open_clip.CLIP and towers.attn_mask is not None and towers.text_pool_type == "argmax":
        return lambda tokens: _encode(towers, tokens)
    return lambda tokens: towers.encode_text(tokens)


def _encode(clip: open_clip.CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """CLIP.encode_text of open_clip 3, on the columns up to the last end token."""
    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    states = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
    states = clip.ln_final(clip.transformer(states, attn_mask=clip.attn_mask[:length, :length]))
    pooled: torch.Tensor = states[torch.arange(len(tokens), device=tokens.device), ends]
    projection: Any = clip.text_projection
    if projection is None:
        return pooled
    projected: torch.Tensor = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
    return projected
