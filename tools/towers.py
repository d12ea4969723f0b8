"""Both towers of an open_clip local directory: pictures or texts -> unit rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import Compose

from search.cutting import cut_to_longest

T = TypeVar("T")


@dataclass(frozen=True)
class Towers:
    """The model with the preprocess and the tokenizer that belong to its weights."""

    model: open_clip.CLIP
    preprocess: Compose
    tokenizer: SimpleTokenizer

    @torch.inference_mode()
    def images(self, pictures: Sequence[Image.Image], batch: int = 128) -> Tensor:
        """(n, dim) float32 unit rows."""
        device = next(self.model.parameters()).device
        parts = [torch.stack([self.preprocess(picture) for picture in part]) for part in _split(pictures, batch)]
        return torch.cat([self.model.encode_image(part.to(device), normalize=True).cpu() for part in parts])

    @torch.inference_mode()
    def texts(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """(n, dim) float32 unit rows."""
        device = next(self.model.parameters()).device
        parts = [self.tokenizer(list(part)).to(device) for part in _split(texts, batch)]
        return torch.cat([encode_text(self.model, part).cpu() for part in parts])


def load(folder: Path, *, weights: bool = True, device: str = "cpu") -> Towers:
    """The towers of a local directory; without `weights`, a fresh start of the same shape."""
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, load_weights=weights, device=device)
    return Towers(model.eval(), preprocess, open_clip.get_tokenizer(name))


def encode_text(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """`model.encode_text`, normalized, at the length of the longest text: (n, context) int64 -> (n, dim)."""
    return functional.normalize(cut_to_longest(model)(tokens), dim=-1)


def _split(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
