"""`python -m tests.slow_build COLLECTION FOLDER`: a build slow enough to be killed anywhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options, build
from search.collection import Collection
from search.types import Root
from tests.colors import ColorEncoder


class SlowEncoder(ColorEncoder):
    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        for rows in super().encode_batches(batches):
            time.sleep(0.005)
            yield rows


def main(directory: str, folder: str) -> None:
    encoder = SlowEncoder()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if Collection.exists(Path(directory)):
        collection = Collection.open(Path(directory))
    else:
        collection = Collection.create(Path(directory), encoder.identity)
    with collection.writing():
        build(
            collection,
            [Root(folder)],
            lambda: encoder,
            options=Options(batch_size=4, publish_seconds=0.05),
            progress=lambda *_: None,
            stop=threading.Event(),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
