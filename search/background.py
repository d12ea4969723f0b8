"""Ordinary subjects: where their vectors lie is where texts lie. A collection keeps these vectors with it."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from search.errors import CollectionError
from search.files import replacing
from search.index import Vectors

_SUBJECTS = (
    ("a dog", "a cat", "a bird", "a horse", "a fish", "a flower", "a tree", "a forest", "a mountain", "a river"),
    ("a beach", "the sea", "the sky", "a garden", "a street", "a city at night", "a house", "a room", "a kitchen"),
    ("a table", "a chair", "a bed", "a window", "a door", "a car", "a bus", "a train", "a bicycle", "a boat"),
    ("an airplane", "a person", "a child", "a group of people", "a face", "a hand", "a crowd", "a wedding", "a meal"),
    ("fruit", "a cake", "a cup", "a book", "a computer", "a phone", "a painting", "a sign with text", "snow"),
)

BACKGROUND_TEXTS = tuple(f"a photo of {subject}" for row in _SUBJECTS for subject in row)


def save_background(file: Path, vectors: Vectors) -> None:
    """Keep the (n, dim) vectors of BACKGROUND_TEXTS, with the texts."""
    with replacing(file) as aside, aside.open("wb") as stream:
        np.savez(stream, texts=np.array(BACKGROUND_TEXTS), vectors=vectors)


def load_background(file: Path) -> Vectors | None:
    """What `save_background` kept; None where there is none of today's texts. CollectionError for damage."""
    try:
        with np.load(file) as kept:
            if kept["texts"].tolist() != list(BACKGROUND_TEXTS):
                return None
            vectors: Vectors = kept["vectors"]
            return vectors
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, EOFError, BadZipFile) as error:
        raise CollectionError(
            f"{file} is damaged: python -m indexer verify --repair takes it away, and the next build makes it again"
        ) from error
