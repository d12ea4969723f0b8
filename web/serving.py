"""Directories of collections -> a production server that answers until it is interrupted."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.collection import Collection
from search.decoding import note_in
from search.errors import SearchError
from search.loader import Loader
from search.settings import Settings
from search.types import Runtime
from web import metrics
from web.access import Access
from web.app import MAX_UPLOAD_BYTES, create_app
from web.connections import Server
from web.current import library_of
from web.deadline import Limited
from web.fetch import Fetcher
from web.library import Library
from web.uploads import Uploads
from web.workers import STOPS, run_workers

_SERVER_BODY_BYTES = 4 * MAX_UPLOAD_BYTES
"""Where the server itself hangs up. Between the two limits the application answers with its own error body."""

_CONNECTIONS = 500
"""Held at once by one process. One that waits, or sends or takes its bytes slowly, holds no thread.

Many systems let a process open 1,024 files.
"""

_IDLE_S = 60
"""After which a connection that says nothing is closed."""

_LOOK_S = 60
"""Between two looks whether models are to be loaded and thumbnails to be swept."""

_SWITCH_S = 0.0005
"""After which Python's lock is asked back from a thread that computes. Who waits to send an answer that is ready waits
up to ten times as long by default: a text query took a tenth longer.
"""

_log = logging.getLogger(__name__)

Tell = Callable[[str], None]


class CannotListen(SearchError):
    """An address that is taken, or not this machine's."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a process must know to answer."""

    directories: Sequence[Path]
    threads: int
    device: str
    runtime: Runtime
    models: Path
    cache: Path
    access: Access
    behind_proxy: bool
    may_fetch: bool


def serve(site: Site, *, host: str, port: int, workers: int, tell: Tell) -> None:
    """Tell where the site is served and answer, with `workers` processes, until Ctrl-C or SIGTERM.

    Raises CollectionError for a directory that cannot be served and CannotListen for an address that cannot be used.
    """
    named = ", ".join(map(_named, site.directories))
    with (
        _listen(host, port) as listener,
        tempfile.TemporaryDirectory(prefix="image-search-") as shared,
        suppress(KeyboardInterrupt),
    ):
        for number in STOPS:  # also where a shell started it with SIGINT ignored
            signal.signal(number, signal.default_int_handler)
        tell(f"serving {named} on {_url(listener)} (Ctrl-C ends it)")
        uploads = Path(shared) / "uploads"
        if workers == 1:
            answer(listener, site, uploads)
        else:
            metrics.share(Path(shared) / "metrics")
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))  # for each worker
            run_workers(workers, answer, listener, site, uploads)


def answer(listener: socket.socket, site: Site, uploads: Path) -> None:
    """Open the collections, start to load their models, and answer with this process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page full of thumbnails queues; that is no warning
    sys.setswitchinterval(_SWITCH_S)

    try:
        note_in(site.cache)
    except OSError as error:
        _log.warning("a picture that crashes its decoder may do so again, as it cannot be noted: %s", error)
    loader = Loader(
        purpose="serve",
        cache=site.cache,
        threads=Settings.from_environment().threads,  # of this worker
        device=site.device,
        runtime=site.runtime,
        models=site.models,
        tell=_log.warning,
    )
    with ExitStack() as stack:
        collections = [stack.enter_context(closing(Collection.open(directory))) for directory in site.directories]
        fetch = Fetcher(MAX_UPLOAD_BYTES) if site.may_fetch else None
        app = create_app(collections, loader.of, uploads=Uploads(uploads), access=site.access, fetch=fetch)
        # No thread but this one takes signals, and this one only when the server is made: one that came while a thread
        # is started would break the lock that its starter holds.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        threading.Thread(target=_keep, args=[library_of(app)], name="keep", daemon=True).start()
        options: dict[str, Any] = {
            "threads": site.threads,
            "max_request_body_size": _SERVER_BODY_BYTES,
            "connection_limit": _CONNECTIONS,
            "channel_timeout": _IDLE_S,
            "asyncore_use_poll": True,
            "ident": None,
        }
        if site.behind_proxy:
            options["trusted_proxy"] = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
            options["trusted_proxy_headers"] = {"x-forwarded-for", "x-forwarded-proto"}
        server = Server(Limited(app, threads=site.threads), listener, **options)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        server.run()


def _keep(library: Library) -> None:
    """Look after the library for ever."""
    while True:
        look_after(library)
        time.sleep(_LOOK_S)


def look_after(library: Library) -> None:
    """Load the models unless they are, and take away the thumbnails of images that are gone.

    What cannot be done is logged and tried again the next time.
    """
    if not library.ready:
        library.warm()
        gc.freeze()  # what is loaded by now stays, so no collection needs to look through it
    for shelf in library.shelves.values():
        try:
            shelf.sweep()
        except (OSError, SearchError) as error:
            _log.warning("thumbnails of %s could not be swept: %s", shelf.name, error)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        free = "; give another, or --port 0 for a free one" if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(f"cannot listen on {host} port {port}: {why}{free}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _named(directory: Path) -> str:
    """Opened once here, so that what cannot be served is told before anything listens and is migrated by one alone."""
    with closing(Collection.open(directory)) as collection:
        return f"{directory} ({len(collection.index('images')):,} images)"
