"""A query -> hits: embed the terms, ask the live index, and give each neighbour its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from search.collection import Collection
from search.errors import BadPicture, BadQuery
from search.image import decode_picture, read_file
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm, combine, unit
from search.settings import MAX_K, MAX_PIXELS
from search.timing import Observe, ignore, timed
from search.types import Hit, Target

if TYPE_CHECKING:
    from search.encoder import Encoder


class Searcher:
    """Searches one collection. `load_encoder` is called when a query first needs a tower, and not before.

    Every `by_` method and `search` return at most `k` hits, nearest first, and raise BadQuery for a `k` outside
    1..MAX_K or an unknown id, BadPicture for a picture that cannot be read, and EncoderMismatch when the encoder is not
    the collection's. `observe` is told how long each stage took.
    """

    def __init__(
        self, collection: Collection, load_encoder: Callable[[], Encoder], *, observe: Observe = ignore
    ) -> None:
        self.collection = collection
        self._load_encoder = load_encoder
        self._observe = observe

    def by_text(self, text: str, *, k: int = 10, target: Target = "images") -> list[Hit]:
        return self.search([TextTerm(text)], k=k, target=target)

    def by_image(self, source: Path | bytes, *, k: int = 10, target: Target = "images") -> list[Hit]:
        return self.search([ImageTerm(source)], k=k, target=target)

    def by_id(self, image_id: int, *, k: int = 10, target: Target = "images") -> list[Hit]:
        """The neighbours of an image of the collection, without itself."""
        return self.search([IdTerm(image_id)], k=k, target=target)

    def by_vector(self, vector: NDArray[np.float32], *, k: int = 10, target: Target = "images") -> list[Hit]:
        return self.search([VectorTerm(vector)], k=k, target=target)

    def search(self, terms: Sequence[Term], *, k: int = 10, target: Target = "images") -> list[Hit]:
        """The hits of the sum of `terms`; images asked by id are not among them."""
        if not 1 <= k <= MAX_K:
            raise BadQuery(f"k is {k}; it may be from 1 to {MAX_K}")
        if not terms:
            raise BadQuery("an empty query: give at least one term")
        query = combine([self.embed(term) for term in terms])
        asked = {term.id for term in terms if isinstance(term, IdTerm)} if target == "images" else set()
        return self._nearest(query, k, target, asked)

    def embed(self, term: Term) -> NDArray[np.float32]:
        """The unit vector of one term, (dim,)."""
        match term:
            case TextTerm(text):
                return _only(self.embed_texts([text]))
            case ImageTerm(source):
                return self._embed_image(source)
            case IdTerm(image_id):
                return self._stored(image_id)
            case VectorTerm(vector):
                return self._given(vector)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The unit vectors of texts, (n, dim), through the tower together."""
        if not all(text.strip() for text in texts):
            raise BadQuery("an empty text; describe what the picture shows")
        encoder = self._encoder
        with timed("encode", self._observe):
            return encoder.encode_texts(texts)

    def _embed_image(self, source: Path | bytes) -> NDArray[np.float32]:
        encoder = self._encoder
        with timed("encode", self._observe):
            return _only(encoder.encode_images([_decode(source)]))

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = self._load_encoder()
        self.collection.require(encoder.identity)
        return encoder

    def _stored(self, image_id: int) -> NDArray[np.float32]:
        vector = self.collection.catalog.vector("images", image_id)
        if vector is None:
            raise BadQuery(f"no image has the id {image_id} in this collection")
        return unit(vector)

    def _given(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        dim = self.collection.identity.dim
        if vector.shape != (dim,):
            raise BadQuery(f"the vector has the shape {vector.shape}; this collection takes ({dim},)")
        return unit(vector)

    def _nearest(self, query: NDArray[np.float32], k: int, target: Target, asked: set[int]) -> list[Hit]:
        """Search wider until k neighbours still have a row: rows may go between two publications."""
        index = self.collection.index(target)
        wanted = k + len(asked)
        while True:
            with timed("index", self._observe):
                scores, ids = index.search(query[np.newaxis], wanted)
            neighbours = [
                (score, id_) for score, id_ in zip(scores[0].tolist(), ids[0].tolist(), strict=True) if id_ >= 0
            ]
            with timed("hydrate", self._observe):
                hits = [hit for hit in self._hydrate(neighbours, target) if hit.id not in asked]
            if len(hits) >= k or wanted >= len(index):
                return hits[:k]
            wanted *= 2

    def _hydrate(self, neighbours: Sequence[tuple[float, int]], target: Target) -> list[Hit]:
        """The neighbours that have a row, in their order."""
        scores = {id_: score for score, id_ in neighbours}
        texts = self.collection.catalog.texts(list(scores)) if target == "texts" else None
        image_of = {id_: id_ for id_ in scores} if texts is None else {id_: texts[id_].image_id for id_ in texts}
        images = self.collection.catalog.images(list(set(image_of.values())))
        return [
            Hit(
                target=target,
                id=id_,
                score=score,
                image_id=image_of[id_],
                path=Path(images[image_of[id_]].path),
                facts=images[image_of[id_]].facts,
                text=texts[id_].text if texts else None,
            )
            for id_, score in scores.items()
            if image_of.get(id_) in images
        ]


def _decode(source: Path | bytes) -> Image:
    if isinstance(source, bytes):
        return decode_picture(source, max_pixels=MAX_PIXELS).image
    try:
        return _decode(read_file(source))
    except BadPicture as error:
        raise BadPicture(f"{source}: {error}") from error


def _only(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1, dim) -> (dim,)."""
    return rows.reshape(-1)
