"""Folders that change -> updates, one after the last change of a burst."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from watchfiles import Change
from watchfiles import watch as changes_in

from search.image import SUFFIXES
from search.tars import SUFFIX

RETRY_MS = 5_000
_OTHERS = {".txt", ".json", SUFFIX}
"""Captions and tar files."""


def watch(folders: Sequence[str], update: Callable[[], bool], stop: threading.Event) -> None:
    """Call `update` now and after each burst of changes below `folders`, until `stop`.

    An update that returns False could not be done; it is tried again some seconds later.
    """
    pending = not update()
    bursts = changes_in(*folders, watch_filter=_concerns, stop_event=stop, rust_timeout=RETRY_MS, yield_on_timeout=True)
    for burst in bursts:
        if burst or pending:
            pending = not update()


def _concerns(_change: Change, path: str) -> bool:
    """Whether a changed path may be a picture, its captions, or a folder."""
    suffix = os.path.splitext(path)[1].lower()
    return not suffix or suffix in SUFFIXES or suffix in _OTHERS
