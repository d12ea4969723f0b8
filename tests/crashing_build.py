"""`python -m tests.crashing_build COLLECTION FOLDER`: a build with the decoders of tests/bad_decoders.py."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import closing
from pathlib import Path

from indexer.build import Options, build
from search import apart
from search.collection import Collection
from search.types import Root
from tests import bad_decoders
from tests.colors import ColorEncoder


def main(directory: str, folder: str) -> None:
    bad_decoders.install()
    apart.WORKER = bad_decoders.WORKER
    encoder = ColorEncoder()
    exists = Collection.exists(Path(directory))
    opened = Collection.open(Path(directory)) if exists else Collection.create(Path(directory), encoder.identity)
    with closing(opened) as collection, collection.writing():
        report = build(
            collection,
            [Root(folder)],
            lambda: encoder,
            options=Options(workers=1),
            progress=lambda *_: None,
            stop=threading.Event(),
        )
    sys.stdout.write(json.dumps([report.new, report.failed]))


if __name__ == "__main__":
    main(*sys.argv[1:])
