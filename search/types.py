"""The values that pass between the steps of the engine: frozen, small, and free of any heavy library."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL.Image import Image


Target = Literal["images", "texts"]
"""What a search returns: pictures, or the captions that came with them."""

TARGETS: tuple[Target, ...] = ("images", "texts")

Wanted = Target | Literal["both"]
"""What a query asks for; both are found together by search.mixed."""

WANTED: tuple[Wanted, ...] = (*TARGETS, "both")

Ranking = Literal["balanced", "cosine"]
"""The order of hits: as balance.py says, or by the cosine similarity alone."""

RANKINGS: tuple[Ranking, ...] = ("balanced", "cosine")

IndexKind = Literal["auto", "exact", "scan"]
"""What may be asked of an index: every vector compared, or codes of them first, or whichever is better."""

INDEX_KINDS: tuple[IndexKind, ...] = ("auto", "exact", "scan")

MIN_RECALL = 0.99

DuplicateKind = Literal["identical", "edited", "similar"]
"""The same bytes; one an edit of the other; neighbours. Asked for, each takes in those before it."""

DUPLICATE_KINDS: tuple[DuplicateKind, ...] = ("identical", "edited", "similar")


SENSITIVE = (HIDE, SHOW) = ("hide", "show")
"""What becomes of images with a sensitive tag: they are no hits, or like any other."""

Precision = Literal["fp32", "int8"]
"""Of the image tower's arithmetic; texts are always encoded in fp32."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")

Runtime = Literal["auto", "torch", "onnx"]
"""What computes the towers on a CPU: PyTorch, ONNX Runtime, or the one that a test found faster."""

RUNTIMES: tuple[Runtime, ...] = ("auto", "torch", "onnx")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture says of itself. Absent facts are None.

    Of an imported image whose file was never read, `width` and `height` may be 0 and `format` empty: not known.

    `width` and `height` are in pixels after the EXIF orientation is applied. `taken_at` is the camera's local time,
    without a zone. `latitude` and `longitude` are in degrees, north and east positive.
    """

    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    caption: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: None for what nobody knows, `taken_at` in ISO 8601."""
        known = {"width": self.width or None, "height": self.height or None, "format": self.format or None}
        return {**dataclasses.asdict(self), **known, "taken_at": self.taken_at and self.taken_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: upright RGB pixels and its facts."""

    image: Image
    facts: Facts


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an image tower in int8 compares with fp32 on some pictures, on average.

    `cosine` is that of a picture's two vectors; `top10` the share of the ten nearest pictures, of a picture or a text,
    that are the same.
    """

    cosine: float
    top10: float


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """What makes two encoders interchangeable, stored with every collection.

    `model` is the name that loads the encoder again; it is not compared, because the same weights may have several
    names. `weights_digest` is the hex sha256 of the weights file; `preprocessing` is a canonical text of how pixels
    are prepared. Vectors that were imported by their model's name alone have an identity of that name and the dimension
    (`is_claim`), until a build loads the model. `int8` is there when pictures are
    encoded so; that is not compared, it is the same space.
    """

    model: str
    architecture: str
    weights_digest: str
    dim: int
    preprocessing: str
    int8: Agreement | None = None

    @property
    def precision(self) -> Precision:
        return "int8" if self.int8 else "fp32"

    @property
    def space(self) -> EncoderIdentity:
        """The identity less what is not compared."""
        return dataclasses.replace(self, model="", int8=None)

    @classmethod
    def claim(cls, model: str, dim: int) -> EncoderIdentity:
        """That vectors are of the model with this name, which was not at hand."""
        return cls(model, architecture="", weights_digest="", dim=dim, preprocessing="")

    @property
    def is_claim(self) -> bool:
        return not self.weights_digest

    def same_space(self, other: EncoderIdentity) -> bool:
        """Whether vectors of both encoders may be compared. Of a claim only name and dimension can be."""
        if self.is_claim or other.is_claim:
            return (self.model, self.dim) == (other.model, other.dim)
        return self.space == other.space

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncoderIdentity:
        values = json.loads(text)
        int8 = values.pop("int8", None)
        return cls(**values, int8=int8 and Agreement(**int8))


@dataclass(frozen=True, slots=True)
class Logits:
    """How a model makes logits of cosines: `scale * cosine + bias`. The bias is 0 where the model has none."""

    scale: float
    bias: float = 0.0


@dataclass(frozen=True, slots=True)
class TextLength:
    """How many tokens a text has, and how many the text tower reads."""

    tokens: int
    context: int

    @property
    def truncated(self) -> bool:
        return self.tokens > self.context


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that a collection follows (an absolute path, or a URL), and how it is walked."""

    path: str
    exclude: tuple[str, ...] = ()
    include_hidden: bool = False


def is_followed(path: str, roots: Iterable[Root]) -> bool:
    """Whether the file lies in a followed folder. Imported rows may name any file, or none: theirs is never opened.

    A walk finds no path that climbs, and a store may follow one out of the folder.
    """
    return "/../" not in path and any(path.startswith(f"{root.path.rstrip('/')}/") for root in roots)


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """What is asked of the index: a kind, or a URL of a Milvus server (milvus_place.py), and the least recall@10 of one
    that does not compare everything.
    """

    kind: IndexKind | str = "auto"
    min_recall: float = MIN_RECALL


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What is known of a published index.

    `recall` is recall@10 of the scan by what queries are made of, also where it was too low and the index is exact;
    empty where nothing was measured. `candidates` is how many rows the scan compares again.
    """

    kind: str
    vectors: int
    recall: dict[str, float] = field(default_factory=dict)
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A neighbour with its row: an image (`text` is None) or a text with the image that it belongs to.

    `id` is the row's id within its target; `score` is the cosine similarity in [-1, 1], larger is nearer. `strength`
    in [0, 1] means the same for every query (see calibrate.py); None where it was not asked for or cannot be told.
    `alike` are the ids of the near-identical hits that stand behind it, where hits are grouped.
    """

    target: Target
    id: int
    score: float
    image_id: int
    location: str
    facts: Facts
    text: str | None = None
    strength: float | None = None
    alike: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        """Of a file. An object in a store has only its URL, in `location`."""
        return Path(self.location)

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON values."""
        values = {**dataclasses.asdict(self), "facts": self.facts.to_dict()}
        values["path"] = values.pop("location")
        return values
