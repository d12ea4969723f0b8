"""Files and folders that do not answer -> a line that says so, and an end of waiting when a stop is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import partial

from indexer.load import ahead
from indexer.plan import Work
from indexer.scan import Scan, scan
from search.feature_records import Missing
from search.types import Root

Tell = Callable[[str], object]

TELL_AFTER_SECONDS = 30.0


@dataclass(slots=True)
class Patience:
    """How long a build waits for disks and network shares: until they answer, or until `stop`."""

    tell: Tell
    stop: threading.Event
    tell_after: float = TELL_AFTER_SECONDS
    _told: set[str] = field(default_factory=set)

    def waiting(self, item: Work | Root | Missing, seconds: float) -> bool:
        """Whether to wait on for what has not answered for so long; each is told of once."""
        path = item.found.stamp.path if isinstance(item, Work) else item.path
        if seconds >= self.tell_after and path not in self._told:
            self._told.add(path)
            self.tell(
                f"{path} has not answered for {seconds:.0f} s: its disk or network share may hang. "
                "Waiting on; Ctrl-C ends the run with all finished work kept"
            )
        return not self.stop.is_set()

    def scan(self, root: Root, only: Set[str] | None = None) -> Scan:
        """What `indexer.scan` finds; nothing readable where it was stopped while it waited."""
        walked = ahead(partial(scan, only=only), [root], workers=1, look_ahead=1, waiting=self.waiting)
        return next(walked, Scan(unreadable={root.path: "it did not answer until the run was stopped"}))
