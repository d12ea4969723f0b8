"""A term of a query -> its unit vector."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from search.collection import Collection
from search.errors import BadPicture, BadQuery
from search.image import SCALED, decode_picture, digest_of
from search.languages import require_read
from search.paths import read_named
from search.prompts import prompts
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm, unit
from search.settings import MAX_PIXELS
from search.timing import Observe, timed
from search.types import TextLength

if TYPE_CHECKING:
    from search.encoder import Encoder

KEPT = 256
"""Texts and pictures whose vectors are kept: a page looks up the picture that it searches with, and the next page asks
for the same.
"""


class Embedder:
    """Embeds for one collection. `load_encoder` is called when a tower is first needed, and not before.

    Raises BadQuery for an unknown id, an empty text, a text in a script that the model does not know or a vector of
    another length, BadPicture for a picture that cannot be read, and EncoderMismatch when the encoder is not the
    collection's.
    """

    def __init__(self, collection: Collection, load_encoder: Callable[[], Encoder], observe: Observe) -> None:
        self._collection = collection
        self._load_encoder = load_encoder
        self._observe = observe
        self._kept: dict[Hashable, NDArray[np.float32]] = {}
        self._keeping = threading.Lock()

    def embed(self, term: Term, templates: Sequence[str] = ()) -> NDArray[np.float32]:
        """The unit vector of one term, (dim,); of a text in `templates`, where there are any, that of its mean."""
        match term:
            case TextTerm(text):
                return self._embedded((text, *templates), lambda: self._embed_text(text, templates))
            case ImageTerm(source):
                data = source if isinstance(source, bytes) else read_named(source)
                return self._embedded(digest_of(data), lambda: self._embed_image(data, source))
            case IdTerm(image_id):
                return self._stored(image_id)
            case VectorTerm(vector):
                return self._given(vector)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The unit vectors of texts that are asked for, (n, dim), through the tower together."""
        if not all(text.strip() for text in texts):
            raise BadQuery("an empty text; describe what the picture shows")
        require_read(self.encoder, texts)
        return self.encode_texts(texts)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for texts that nobody asks for."""
        encoder = self.encoder
        with timed("encode", self._observe):
            return encoder.encode_texts(texts)

    def longest(self, texts: Sequence[str], templates: Sequence[str]) -> TextLength | None:
        """How long the longest of all is, in `templates` where there are any; None of no texts."""
        given = [one for text in texts for one in _in_templates(text, templates)]
        return max(self.lengths(given), key=lambda length: length.tokens) if given else None

    def lengths(self, texts: Sequence[str]) -> list[TextLength]:
        """How long each text is for the tower; what is beyond its context is not read."""
        encoder = self.encoder
        return [TextLength(tokens, encoder.context) for tokens in encoder.count_tokens(texts)]

    @cached_property
    def encoder(self) -> Encoder:
        """The collection's, loaded now if it is not yet."""
        encoder = self._load_encoder()
        self._collection.require(encoder.identity)
        return encoder

    def _embedded(self, asked: Hashable, embed: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What `embed` gave when the same was asked before, or gives now."""
        if (kept := self._kept.get(asked)) is not None:
            return kept
        vector = embed()
        with self._keeping:
            self._kept[asked] = vector
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return vector

    def _embed_text(self, text: str, templates: Sequence[str]) -> NDArray[np.float32]:
        rows = self.embed_texts(_in_templates(text, templates))
        return unit(rows.mean(axis=0)) if templates else _only(rows)

    def _embed_image(self, data: bytes, source: Path | bytes) -> NDArray[np.float32]:
        encoder = self.encoder
        with timed("encode", self._observe):
            return _only(encoder.encode_images([_decode(data, source, SCALED * encoder.side)]))

    def _stored(self, image_id: int) -> NDArray[np.float32]:
        stored = self._collection.catalog.stored("images", [image_id])
        if image_id not in stored:
            raise BadQuery(f"no image has the id {image_id} in this collection")
        return unit(stored[image_id])

    def _given(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        dim = self._collection.identity.dim
        if vector.shape != (dim,):
            raise BadQuery(f"the vector has the shape {vector.shape}; this collection takes ({dim},)")
        return unit(vector)


def _in_templates(text: str, templates: Sequence[str]) -> list[str]:
    """What the tower is given of a text."""
    return prompts(text, templates) if templates and text.strip() else [text]


def _decode(data: bytes, source: Path | bytes, short_side: int) -> Image:
    try:
        return decode_picture(data, max_pixels=MAX_PIXELS, short_side=short_side).image
    except BadPicture as error:
        raise BadPicture(f"{source}: {error}") if isinstance(source, Path) else error from error


def _only(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1, dim) -> (dim,)."""
    return rows.reshape(-1)
