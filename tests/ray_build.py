"""`python -m tests.ray_build ADDRESS COLLECTION FOLDER`: a build on a Ray cluster, slow enough to be killed; and what
tests build there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options, Progress, build
from indexer.distributed import ray_cluster
from indexer.report import Report
from indexer.worker import LoadOnWorker
from search import apart
from search.collection import Collection
from search.decoding import note_in
from search.types import EncoderIdentity, Root
from tests import bad_decoders
from tests.colors import ColorEncoder


class SlowEncoder(ColorEncoder):
    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        for rows in super().encode_batches(batches):
            time.sleep(0.15)
            yield rows


def load(_identity: EncoderIdentity, _threads: int) -> ColorEncoder:
    return SlowEncoder()


def load_with_bad_decoders(cache: Path, _identity: EncoderIdentity, _threads: int) -> ColorEncoder:
    """A worker with the decoders of tests/bad_decoders.py that notes what it decodes."""
    bad_decoders.install()
    apart.WORKER = bad_decoders.WORKER
    note_in(cache)
    return ColorEncoder()


def ray_build(
    address: str,
    directory: Path,
    folder: Path | str,
    *,
    progress: Progress = lambda *_: None,
    actors: int | None = None,
    load: LoadOnWorker = load,
) -> Report:
    """Two pictures a batch and eight a task, so that there are many of both."""
    encoder = ColorEncoder()
    if Collection.exists(directory):
        collection = Collection.open(directory)
    else:
        collection = Collection.create(directory, encoder.identity)
    collection.catalog.follow([Root(str(folder))])
    with collection.writing(), ray_cluster(address, actors=actors, gpus=True, load=load) as make_stage:
        return build(
            collection,
            [Root(str(folder))],
            lambda: encoder,
            options=Options(batch_size=2, publish_seconds=0.05),
            progress=progress,
            stop=threading.Event(),
            make_stage=make_stage,
        )


if __name__ == "__main__":
    ray_build(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
