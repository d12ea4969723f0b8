"""`python -m tests.crashing_server COLLECTION CACHE WORKERS`: a server with the decoders of tests/bad_decoders.py."""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

from search import apart
from tests import bad_decoders
from web import serving
from web.access import EVERYONE
from web.workers import run_workers


def answer(listener: socket.socket, site: serving.Site, uploads: Path) -> None:
    bad_decoders.install()
    apart.WORKER = bad_decoders.WORKER
    serving.answer(listener, site, uploads)


def main(directory: str, cache: str, workers: str) -> None:
    site = serving.Site(
        directories=[Path(directory)],
        threads=2,
        device="cpu",
        runtime="torch",
        models=Path(cache),
        cache=Path(cache),
        access=EVERYONE,
        behind_proxy=False,
        may_fetch=False,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory(dir=cache) as uploads:
        sys.stderr.write("http://{}:{}/ \n".format(*listener.getsockname()))
        if workers == "1":
            answer(listener, site, Path(uploads))
        else:
            run_workers(int(workers), answer, listener, site, Path(uploads))


if __name__ == "__main__":
    main(*sys.argv[1:])
