"""A model's name -> what is published of its results and vectors, to compare with; no torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from search.errors import BadQuery
from search.models import MODELS

if TYPE_CHECKING:
    from search.encoder import Encoder

FLICKR = "Flickr30k, Karpathy's test split of 1,000 pictures"
COCO = "COCO, Karpathy's test split of 5,000 pictures"
RETRIEVAL_SOURCE = "open_clip, docs/openclip_retrieval_results.csv"

_OPENAI = {
    "clip-vit-base-patch32": "ViT-B-32",
    "clip-vit-base-patch16": "ViT-B-16",
    "clip-vit-large-patch14": "ViT-L-14",
    "clip-vit-large-patch14-336": "ViT-L-14-336",
}
"""OpenAI's repositories, and the architectures under which open_clip has the same weights."""

_SAME_WEIGHTS = {
    **{f"hf-hub:{info.repo}": info.name for info in MODELS if info.repo},
    **{f"hf-hub:openai/{repo}": f"{architecture}/openai" for repo, architecture in _OPENAI.items()},
    **{f"{architecture}-quickgelu/openai": f"{architecture}/openai" for architecture in _OPENAI.values()},
}


def table_name(model: str) -> str:
    """The name by which the model table has the same weights, or else the name itself."""
    return _SAME_WEIGHTS.get(model, model)


def published_recall(model: str) -> list[dict[str, Any]]:
    """recall@1 in [0, 1] of a model of the table, by data set; none for other models."""
    info = next((info for info in MODELS if info.name == table_name(model)), None)
    if info is None:
        return []
    figures = ((FLICKR, info.flickr_t2i_r1, info.flickr_i2t_r1), (COCO, info.coco_t2i_r1, info.coco_i2t_r1))
    return [
        {"data": data, "source": RETRIEVAL_SOURCE, "text_to_image": t2i / 100, "image_to_text": i2t / 100}
        for data, t2i, i2t in figures
        if t2i is not None and i2t is not None
    ]


@dataclass(frozen=True, slots=True)
class TextCosine:
    """The cosine in [-1, 1] of the vectors of two texts, to four digits."""

    one: str
    other: str
    cosine: float
    source: str


_DETIC = "the text vectors of LVIS' classes in facebookresearch/Detic, datasets/metadata/lvis_v1_clip_a+cname.npy"
_TABLE = "a table of figures that OpenAI's weights were measured with; no second source is known"

TEXT_COSINES = {
    "ViT-B-32/openai": (
        TextCosine("a dog", "a cat", 0.9361, _DETIC),
        TextCosine("a dog", "a horse", 0.9181, _DETIC),
        TextCosine("a cat", "a banana", 0.8106, _DETIC),
        TextCosine("a diagram", "a dog", 0.8685, _TABLE),
        TextCosine("a diagram", "a cat", 0.8483, _TABLE),
    ),
}
"""By the names of the model table."""

TOLERANCE = 1e-3
"""How far a correct load may lie from a published cosine: rounding, and the half precision of some sources."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A published cosine and the one that was found."""

    published: TextCosine
    found: float

    @property
    def passed(self) -> bool:
        return abs(self.found - self.published.cosine) <= TOLERANCE


def text_cosines(model: str) -> Sequence[TextCosine]:
    """What is published of a model. Raises BadQuery with the models of which something is, where nothing is of this."""
    name = table_name(model)
    if name not in TEXT_COSINES:
        raise BadQuery(
            f"no vectors of {model} are published that it could be checked with; there are some of "
            f"{', '.join(TEXT_COSINES)}. Weights in a file are checked like --check ViT-B-32/openai --model FILE"
        )
    return TEXT_COSINES[name]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a model gives beside what is published of the model that it is taken for."""

    model: str
    taken_for: str
    cosines: list[Compared]

    @property
    def passed(self) -> bool:
        return all(item.passed for item in self.cosines)

    def to_dict(self) -> dict[str, Any]:
        rows = [{**asdict(item.published), "found": item.found, "passed": item.passed} for item in self.cosines]
        return {
            "model": self.model,
            "taken_for": self.taken_for,
            "tolerance": TOLERANCE,
            "passed": self.passed,
            "cosines": rows,
        }


def check(encoder: Encoder, taken_for: str) -> Checked:
    """The published cosines beside the encoder's own. Raises BadQuery where nothing is published."""
    published = text_cosines(taken_for)
    texts = list(dict.fromkeys(text for known in published for text in (known.one, known.other)))
    rows = dict(zip(texts, encoder.encode_texts(texts), strict=True))
    compared = [Compared(known, float(rows[known.one] @ rows[known.other])) for known in published]
    return Checked(encoder.identity.model, taken_for, compared)
