"""An upright RGB picture -> a small picture of it as WebP or JPEG bytes."""

from __future__ import annotations

import io
from typing import Literal

from PIL import Image

QUALITY = 82
_REDUCING_GAP = 3.0
"""How much larger than the result the cheap box reduction before the filter leaves the picture."""


def thumbnail(image: Image.Image, longest: int, *, encoding: Literal["WEBP", "JPEG"] = "WEBP") -> bytes:
    """The picture at most `longest` pixels on its longer side; a smaller one keeps its size."""
    scale = min(1.0, longest / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP) if scale < 1 else image
    out = io.BytesIO()
    small.save(out, encoding, quality=QUALITY)
    return out.getvalue()
