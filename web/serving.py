"""Directories of collections -> a production server that answers until it is interrupted."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import waitress

from search.collection import Collection
from web.app import MAX_UPLOAD_BYTES, create_app
from web.current import library_of

if TYPE_CHECKING:
    from search.encoder import Encoder

_SERVER_BODY_BYTES = 4 * MAX_UPLOAD_BYTES
"""Where the server itself hangs up. Between the two limits the application answers with its own error body."""


Tell = Callable[[str], None]


def serve(
    directories: Sequence[Path], *, host: str, port: int, threads: int, device: str, models: Path, tell: Tell
) -> None:
    """Open the collections, start to load their models, tell where they are served, and answer until Ctrl-C or SIGTERM.

    Raises CollectionError for a directory that cannot be served and OSError for an address that cannot be used.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page full of thumbnails queues; that is no warning
    with ExitStack() as stack:
        collections = [stack.enter_context(closing(Collection.open(directory))) for directory in directories]

        def load(model: str) -> Encoder:
            from search.encoder import load_encoder  # torch takes seconds to import; the page can be seen before

            return load_encoder(model, device=device, models=models)

        app = create_app(collections, load)
        listener = stack.enter_context(_listen(host, port))
        for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started it with SIGINT ignored
            signal.signal(number, signal.default_int_handler)
        threading.Thread(target=library_of(app).warm, name="warm", daemon=True).start()
        tell(f"serving {_named(collections)} on {_url(listener)} (Ctrl-C ends it)")
        options: dict[str, Any] = {
            "sockets": [listener],
            "threads": threads,
            "max_request_body_size": _SERVER_BODY_BYTES,
            "ident": None,
        }
        waitress.serve(app, _quiet=True, **options)


def _listen(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _named(collections: Sequence[Collection]) -> str:
    return ", ".join(
        f"{collection.directory} ({len(collection.index('images')):,} images)" for collection in collections
    )
