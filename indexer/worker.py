"""What one machine of a cluster does for a build: a task of files -> these, read and encoded, and their captions."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.load import Loaded
from indexer.patience import Patience
from indexer.plan import Work
from indexer.resolve import captions_of
from indexer.stage import Encoded, LocalStage
from search.changes import StoredVector
from search.errors import ClusterError, NoTextTower, SearchError
from search.stores import is_url
from search.tars import tar_of
from search.types import EncoderIdentity

if TYPE_CHECKING:
    from indexer.build import Options
    from search.encoder import Encoder

LoadOnWorker = Callable[[EncoderIdentity, int], "Encoder"]
"""The encoder of an identity, with so many threads."""


class Digests:
    """Digests by their first 8 bytes, in 8 bytes each; workers on one machine share the memory.

    Of another content with the same beginning it is said that it is here too; the resolver does not find it and has it
    read once more.
    """

    def __init__(self, digests: Collection[bytes]) -> None:
        self._heads = np.sort(np.fromiter(map(_head, digests), np.uint64, len(digests)))

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, bytes):
            return False
        head = np.uint64(_head(digest))
        place = int(np.searchsorted(self._heads, head))
        return place < len(self._heads) and bool(self._heads[place] == head)


@dataclass(frozen=True, slots=True)
class Result:
    """`texts` are the vectors of the captions; `not_there` the folders of files that this machine, `host`, lacks."""

    host: str
    encoded: Encoded
    texts: dict[str, NDArray[np.float32]]
    not_there: list[str]


def sound(result: Result | SearchError) -> Result:
    """The result of a worker that could do its part, as the driver sees it. Raises ClusterError for another's."""
    if isinstance(result, SearchError):
        raise result
    for folder in result.not_there:
        if _is_there(folder):
            raise ClusterError(
                f"{result.host} does not see {folder}, which is here: every machine of the cluster needs the folders "
                "under the same path"
            )
    return result


def _is_there(folder: str) -> bool:
    """Whether there is such a folder; of one in a tar file, whether there is the tar file. A store is everywhere."""
    return is_url(folder) or os.path.isdir(folder) or tar_of(f"{folder}/") is not None


class Worker:
    """Called with pickled tasks. An error that is meant for the user is a result too: Ray would wrap it in its own."""

    def __init__(self, load: LoadOnWorker, identity: EncoderIdentity, options: Options, known: Digests) -> None:
        self._load = load
        self._identity = identity
        self._threads = options.workers
        self._known = known
        self._stage = LocalStage(self._encoder, options, Patience(lambda _: None, threading.Event()))
        self._loaded: Encoder | None = None

    def __call__(self, batch: dict[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        return {"result": [pickle.dumps(self._done(pickle.loads(task))) for task in batch["task"]]}

    def _done(self, works: list[Work]) -> Result | SearchError:
        host = socket.gethostname()
        try:
            encoded = _joined(self._stage.encode(works, self._known))
        except SearchError as error:
            return ClusterError(f"{host}: {error}")
        failed = {os.path.dirname(item.work.found.stamp.path) for item in encoded.items if item.reason is not None}
        not_there = sorted(folder for folder in failed if not _is_there(folder))
        return Result(host, encoded, self._text_vectors(encoded.items), not_there)

    def _encoder(self) -> Encoder:
        """This machine's encoder, if it is the collection's."""
        if self._loaded is None:
            self._loaded = self._load(self._identity, self._threads)
            if not self._identity.same_space(self._loaded.identity):
                raise ClusterError(f"its {self._identity.model} has other weights than the driver's")
        return self._loaded

    def _text_vectors(self, items: Sequence[Loaded]) -> dict[str, NDArray[np.float32]]:
        """Of the captions of new pictures; of none without a text tower."""
        captions = (captions_of(item.facts, item) for item in items if item.facts is not None)
        texts = list(dict.fromkeys(text for some in captions for text in some))
        with suppress(NoTextTower):
            return dict(zip(texts, self._stage.encode_texts(texts), strict=True)) if texts else {}
        return {}


def _head(digest: bytes) -> int:
    return int.from_bytes(digest[:8])


def _joined(batches: Iterable[Encoded]) -> Encoded:
    """One of several; without the pixels, which nobody needs any more."""
    items: list[Loaded] = []
    vectors: dict[bytes, StoredVector] = {}
    decode = wait = encode = 0.0
    for batch in batches:
        items += [replace(item, pixels=None) for item in batch.items]
        vectors |= batch.vectors
        decode, wait, encode = decode + batch.decode_seconds, wait + batch.wait_seconds, encode + batch.encode_seconds
    return Encoded(items, vectors, decode, wait, encode)
