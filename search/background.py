"""Ordinary subjects: where their vectors lie is where texts lie. A collection keeps these vectors with it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from search.errors import CollectionError
from search.files import replacing
from search.index import Vectors
from search.seals import with_checksum, without_checksum
from search.types import EncoderIdentity

_SUBJECTS = (
    ("a dog", "a cat", "a bird", "a horse", "a fish", "a flower", "a tree", "a forest", "a mountain", "a river"),
    ("a beach", "the sea", "the sky", "a garden", "a street", "a city at night", "a house", "a room", "a kitchen"),
    ("a table", "a chair", "a bed", "a window", "a door", "a car", "a bus", "a train", "a bicycle", "a boat"),
    ("an airplane", "a person", "a child", "a group of people", "a face", "a hand", "a crowd", "a wedding", "a meal"),
    ("fruit", "a cake", "a cup", "a book", "a computer", "a phone", "a painting", "a sign with text", "snow"),
)

BACKGROUND_TEXTS = tuple(f"a photo of {subject}" for row in _SUBJECTS for subject in row)


def save_background(file: Path, identity: EncoderIdentity, vectors: Vectors) -> None:
    """Keep the (n, dim) vectors that an encoder gives BACKGROUND_TEXTS, with the texts."""
    data = io.BytesIO()
    np.savez(data, encoder=identity.space.to_json(), texts=np.array(BACKGROUND_TEXTS), vectors=vectors)
    with replacing(file) as aside:
        aside.write_bytes(with_checksum(data.getvalue()))


def load_background(file: Path, identity: EncoderIdentity) -> Vectors | None:
    """What `save_background` kept; None where there is none of this encoder and of today's texts.

    CollectionError for damage.
    """
    try:
        data = without_checksum(file.read_bytes())
    except FileNotFoundError:
        return None
    if data is None:
        raise CollectionError(
            f"{file} is damaged: python -m indexer verify --repair takes it away, and the next build makes it again"
        )
    with np.load(io.BytesIO(data)) as kept:
        if (str(kept["encoder"]), kept["texts"].tolist()) != (identity.space.to_json(), list(BACKGROUND_TEXTS)):
            return None
        vectors: Vectors = kept["vectors"]
        return vectors
