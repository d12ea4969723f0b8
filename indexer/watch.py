"""Folders that change -> updates, one after the last change of a burst."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from watchfiles import Change
from watchfiles import watch as changes_in

from search.image import SUFFIXES
from search.paths import identity_of
from search.tars import SUFFIX

RETRY_S = 5.0
"""Before an update that could not be done is tried again; twice as long before each next time."""

LONGEST_S = 60.0
_OTHERS = {".txt", ".json", SUFFIX}
"""Captions and tar files."""


def watch(folders: Sequence[str], update: Callable[[], bool], stop: threading.Event) -> None:
    """Call `update` now, once more when the watch has begun, and after each burst of changes below `folders`, until
    `stop`. What changes during the first update, nobody else would tell of.

    An update that returns False could not be done; it is tried again some seconds later, and not before.
    """
    pending, pause_s, not_before = True, RETRY_S, 0.0
    for changed in chain([True], _bursts(folders, stop)):
        pending = pending or changed
        if pending and time.monotonic() >= not_before:
            pending = not update()
            not_before = time.monotonic() + pause_s if pending else 0.0
            pause_s = min(2 * pause_s, LONGEST_S) if pending else RETRY_S


def _bursts(folders: Sequence[str], stop: threading.Event) -> Iterator[bool]:
    """Whether something changed, at once and every RETRY_S; also when a watch has begun. Where another folder has come
    to the place of one that was watched, as with a disk that is there again, it begins anew.
    """
    while not stop.is_set():
        watched = list(map(identity_of, folders))
        bursts = changes_in(
            *folders,
            watch_filter=_concerns,
            stop_event=stop,
            rust_timeout=int(1000 * RETRY_S),
            yield_on_timeout=True,
        )
        for number, burst in enumerate(bursts):
            yield bool(burst) or number == 0
            if (now := list(map(identity_of, folders))) != watched and None not in now:
                break


def _concerns(change: Change, path: str) -> bool:
    """Whether a changed path may be a picture, its captions, or a folder, as what is gone may always have been."""
    suffix = os.path.splitext(path)[1].lower()
    return not suffix or suffix in SUFFIXES or suffix in _OTHERS or change == Change.deleted or os.path.isdir(path)
