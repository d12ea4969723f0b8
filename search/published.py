"""A model's name -> what is published of its results, to compare with; no torch here."""

from __future__ import annotations

from typing import Any

from search.models import MODELS

FLICKR = "Flickr30k, Karpathy's test split: 1,000 pictures, 5 captions each"
COCO = "COCO, Karpathy's test split: 5,000 pictures, 5 captions each"
RETRIEVAL_SOURCE = "open_clip, docs/openclip_retrieval_results.csv"


def published_recall(model: str) -> list[dict[str, Any]]:
    """recall@1 in [0, 1] of a model of the table, by data set; none for other models."""
    info = next((info for info in MODELS if model in (info.name, f"hf-hub:{info.repo}")), None)
    if info is None:
        return []
    figures = ((FLICKR, info.flickr_t2i_r1, info.flickr_i2t_r1), (COCO, info.coco_t2i_r1, info.coco_i2t_r1))
    return [
        {"data": data, "source": RETRIEVAL_SOURCE, "text_to_image": t2i / 100, "image_to_text": i2t / 100}
        for data, t2i, i2t in figures
        if t2i is not None and i2t is not None
    ]
