"""The URL of an index in a Milvus server -> where it is and how it is made there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self, get_args
from urllib.parse import parse_qsl, urlsplit

from search.errors import CollectionError

SCHEMES = ("milvus+http", "milvus+https")

MilvusType = Literal["FLAT", "IVF_FLAT"]
"""Types of Milvus's index that can compare every vector where they are asked to, as filters need it.

A graph (HNSW) cannot; it also found 0.977 of the neighbours of texts where 0.99 is promised (benchmarks/RESULTS.md).
"""

_MOST_SHARDS = 16
_MOST_REPLICAS = 64
_NAME = re.compile(r"[A-Za-z_]\w{0,199}", re.ASCII)
_EXAMPLE = "milvus+http://host:19530/name"


def is_milvus(kind: str) -> bool:
    """Whether what is asked of an index is a URL of this kind."""
    return kind.startswith("milvus+")


@dataclass(frozen=True, slots=True)
class MilvusPlace:
    """A `name` in the server at `uri`, before which every name there belongs to the index, and options of what is made.

    `url` is all of it, as it is stored.
    """

    url: str
    uri: str
    name: str
    type: MilvusType = "FLAT"
    shards: int = 1
    replicas: int = 1

    @classmethod
    def read(cls, url: str) -> Self:
        """From milvus+http://host:19530/name?type=IVF_FLAT&shards=2&replicas=2. Raises CollectionError."""
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError as error:
            raise CollectionError(f"{url!r} is not the URL of an index: {error}; write {_EXAMPLE}") from error
        if parts.username or parts.password:
            raise CollectionError(
                "the URL of the index holds a user or a password, which would be stored with the collection: give the "
                "server a port that only its users reach, and leave them out"
            )
        name = parts.path.strip("/")
        if parts.scheme not in SCHEMES or not host or not port or parts.fragment or not _NAME.fullmatch(name):
            raise CollectionError(
                f"{url!r} is not the URL of an index: write {_EXAMPLE}, with a name of letters, digits and _"
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        place = cls(
            url=url,
            uri=f"{parts.scheme.removeprefix('milvus+')}://{parts.netloc}",
            name=name,
            type=_type(options.pop("type", "FLAT")),
            shards=_count("shards", options.pop("shards", "1"), _MOST_SHARDS),
            replicas=_count("replicas", options.pop("replicas", "1"), _MOST_REPLICAS),
        )
        if options:
            raise CollectionError(
                f"{url!r} has an unknown option {min(options)!r}: there are type, shards and replicas"
            )
        return place

    def __str__(self) -> str:
        return f"{self.name} in the Milvus server at {self.uri}"

    def same_names(self, other: MilvusPlace) -> bool:
        """Whether what both name is the same, however it is made."""
        return (self.uri, self.name) == (other.uri, other.name)


def _type(text: str) -> MilvusType:
    for known in get_args(MilvusType):
        if text.upper() == known:
            return known  # type: ignore[no-any-return]
    raise CollectionError(f"type={text} is not one of {', '.join(get_args(MilvusType))}")


def _count(option: str, text: str, most: int) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= most:
        raise CollectionError(f"{option}={text} may be from 1 to {most}")
    return int(text)
