"""A way to answer -> several processes that answer over one socket, each replaced when it dies."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)
STOP_S = 15.0
"""How long workers may take to end by themselves. Waitress gives the requests in hand 5 seconds."""

PAUSE_S = 1.0
"""Before a dead worker is replaced, so that one that cannot live does not keep the machine busy."""

_log = logging.getLogger(__name__)


def run_workers(count: int, answer: Callable[..., None], *arguments: Any) -> None:
    """Keep `count` processes that call `answer(*arguments)` until KeyboardInterrupt, then end them.

    They are spawned, not forked: a fork would take along locks of FAISS and NumPy's threads without the threads.
    """
    context = multiprocessing.get_context("spawn")
    workers: list[BaseProcess] = []
    try:
        while True:
            while len(workers) < count:
                workers.append(_started(context.Process(target=_work, args=(answer, arguments), daemon=True)))
            wait([worker.sentinel for worker in workers])
            workers = [worker for worker in workers if not _has_ended(worker)]
            time.sleep(PAUSE_S)
    finally:
        _stop(workers)


def _started(worker: BaseProcess) -> BaseProcess:
    """Start it with both signals held back, so that they meet the new process only when it can end in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return worker


def _work(answer: Callable[..., None], arguments: Sequence[Any]) -> None:
    """In the new process. Ctrl-C reaches every process of a terminal; here the first one alone says when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    with suppress(KeyboardInterrupt):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        answer(*arguments)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _has_ended(worker: BaseProcess) -> bool:
    if worker.is_alive():
        return False
    _log.error("a worker ended with exit code %s; another one takes its place", worker.exitcode)
    return True


def _stop(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()
    end = time.monotonic() + STOP_S
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
        if worker.is_alive():
            worker.kill()
