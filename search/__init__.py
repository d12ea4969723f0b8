"""The engine: a collection of images and their captions, searched by text, image, id or vector.

    from pathlib import Path
    from search import Collection, Searcher, load_encoder

    collection = Collection.open(Path("data/collections/default"))
    searcher = Searcher(collection, lambda: load_encoder(collection.identity.model))
    for hit in searcher.by_text("a dog in the snow"):
        print(hit.score, hit.location)

Names are imported when they are first used, so that a command line can answer before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.collection import Collection
    from search.encoder import Encoder, load_encoder
    from search.errors import SearchError
    from search.filters import Filter
    from search.paging import Page
    from search.query import IdTerm, ImageTerm, TextTerm, VectorTerm
    from search.searcher import Searcher
    from search.types import EncoderIdentity, Facts, Hit

_MODULES = {
    "Collection": "search.collection",
    "Encoder": "search.encoder",
    "EncoderIdentity": "search.types",
    "Facts": "search.types",
    "Filter": "search.filters",
    "Hit": "search.types",
    "IdTerm": "search.query",
    "ImageTerm": "search.query",
    "Page": "search.paging",
    "SearchError": "search.errors",
    "Searcher": "search.searcher",
    "TextTerm": "search.query",
    "VectorTerm": "search.query",
    "load_encoder": "search.encoder",
}

__all__ = [
    "Collection",
    "Encoder",
    "EncoderIdentity",
    "Facts",
    "Filter",
    "Hit",
    "IdTerm",
    "ImageTerm",
    "Page",
    "SearchError",
    "Searcher",
    "TextTerm",
    "VectorTerm",
    "load_encoder",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
