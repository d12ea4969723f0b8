"""Ctrl-C and SIGTERM -> an event, so that a long run ends with what it has in hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from indexer import say


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C ends at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask_to_stop(number: int, _frame: object) -> None:
        say.note("stopping after the batch in hand; Ctrl-C again stops at once")
        stop.set()
        signal.signal(number, signal.default_int_handler)

    try:
        for number in before:
            signal.signal(number, ask_to_stop)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
