"""Pictures that a build is decoding -> a file that names them, should a decoder take the process down."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_FLIGHT_FILE = "decoding.paths"

_PLACE_BYTES = 4096
"""Linux takes no longer path; it ends with a NUL, as in C."""


class InFlight:
    """A note of what is being decoded, in a file beside the catalog. Threads may share it.

    What was written outlives the process, since the system holds it; it need not outlive the power. `suspects` are the
    paths in the note that a process left which was killed or crashed: one of them may have done it. They stay in it
    until a build has ended that has met them all, so that no other death in between makes them forgotten.

    The caller is the only writer of the collection. The file is there from the first picture on.
    """

    def __init__(self, file: Path) -> None:
        try:
            left = file.read_bytes()
        except FileNotFoundError:
            left = b""
        places = [left[at : at + _PLACE_BYTES].split(b"\0", 1)[0] for at in range(0, len(left), _PLACE_BYTES)]
        self.suspects = frozenset(os.fsdecode(path) for path in places if path)
        self._free = [place for place, path in enumerate(places) if not path]
        self._places = len(places)
        self._file = file
        self._descriptor: int | None = None
        self._lock = threading.Lock()
        self._doubted = False

    @contextmanager
    def decoding(self, path: str) -> Iterator[None]:
        """Have `path` in the file during the block. OSError where the disk does not take it."""
        with self._lock:
            place = self._free.pop() if self._free else self._places
            self._places = max(self._places, place + 1)
            if self._descriptor is None:
                self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o666)
        self._write(place, os.fsencode(path).ljust(_PLACE_BYTES, b"\0"))
        try:
            yield
        finally:
            self._write(place, b"\0")
            self._free.append(place)

    def _write(self, place: int, data: bytes) -> None:
        assert self._descriptor is not None
        try:
            os.pwrite(self._descriptor, data, place * _PLACE_BYTES)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._file)) from error

    def __del__(self) -> None:
        """Not before: a thread that hangs may write when the build is over."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def doubt(self) -> None:
        """Say that of some suspect the catalog does not tell: it stays one."""
        self._doubted = True

    def settle(self) -> None:
        """Say that the build has met all suspects, and that the catalog tells what became of them."""
        if not self._doubted:
            self._file.unlink(missing_ok=True)
