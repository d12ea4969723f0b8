"""A picture whose decoder is not trusted -> the same as `search/image.py` gives, from another process.

Each picture has one process to itself (`search/apart_worker.py`); there are at most as many as processors, started when
all others are busy, and they stay for the next pictures. Decoders of these formats keep one processor busy, or few, so
a single process would have all threads of a build wait for it. Nothing that comes back is unpickled.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from search.errors import BadPicture, UnreadFile
from search.raw import Room
from search.records import DECODER
from search.types import Facts, Picture

if TYPE_CHECKING:
    import io

WORKER = "from search.apart_worker import main; main()"
"""What a process runs."""

SECONDS = 30
"""Time of one picture, and a second more for each megapixel; OpenJPEG, the slowest, takes 0.3 on a busy machine."""

_PIPE_BYTES = 1 << 20
_MAX_LINE_BYTES = 1 << 24

_ENDING_S = 5.0
"""How long a process that closed its pipe may take to be gone."""


def decode_apart(data: bytes, name: str, *, max_pixels: int, short_side: int | None, room: Room) -> Picture:
    """As `search.image.decode_picture`, which calls it; `name` is the format's. Threads may call it at once.

    `room` gives the time in which so many pixels are decoded.
    """
    with _places:
        worker = _free_worker(name)
        try:
            picture = worker.decode(data, max_pixels, short_side, room)
        except BadPicture:
            _idle.append(worker)
            raise
        except _Died:
            raise BadPicture(f"{DECODER} {name} {_end_of(worker.end(patience_s=_ENDING_S))}") from None
        except BaseException:  # Ctrl-C: an answer is on its way that nobody will take
            worker.end()
            raise
        _idle.append(worker)
        return picture


def _free_worker(name: str) -> _Worker:
    while True:
        try:
            worker = _idle.pop()
        except IndexError:
            break
        if worker.running:
            return worker
        worker.end()
    try:
        return _Worker()
    except (OSError, _Died) as error:
        reason = getattr(error, "strerror", None) or "it ended at once"
        raise UnreadFile(f"the process that decodes {name} cannot be started: {reason}") from error


def _end_of(status: int) -> str:
    if status == -signal.SIGALRM:
        return f"took more than {SECONDS} seconds and one for each megapixel"
    return f"crashed (signal {-status})" if status < 0 else f"ended (exit status {status})"


def _facts(values: dict[str, Any]) -> Facts:
    taken_at = values["taken_at"]
    return Facts(**{**values, "taken_at": taken_at and datetime.fromisoformat(taken_at)})


class _Died(Exception):
    """The process ended before it had answered."""


class _Worker:
    def __init__(self) -> None:
        # The path of this process, as a module found here must be found there. In a session of its own no signal of a
        # terminal reaches it: it ends when this process has ended, or by its own clock.
        code = f"import sys; sys.path[:] = sys.argv[1:]; {WORKER}"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pipesize=_PIPE_BYTES,
        )
        self._requests = cast("io.BufferedWriter", self._process.stdin)
        self._answers = cast("io.BufferedReader", self._process.stdout)
        try:
            self._line()  # it has begun
        except BaseException:
            self.end()
            raise

    def decode(self, data: bytes, max_pixels: int, short_side: int | None, room: Room) -> Picture:
        request = {"bytes": len(data), "seconds": SECONDS, "max_pixels": max_pixels, "short_side": short_side}
        self._send(json.dumps(request).encode() + b"\n", data)
        with ExitStack() as turn:
            while "room" in (answer := self._line()):
                turn.close()  # a RAW file's preview was decoded and is too small
                turn.enter_context(room(*answer["room"]))
                self._send(b"\n")
            if "refused" in answer:
                raise BadPicture(answer["refused"])
            return Picture(self._image(*answer["size"]), _facts(answer["facts"]))

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self, *, patience_s: float = 0) -> int:
        """The exit status, negative for a signal; of a process that is about to end, its own."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        status = self._process.wait()
        self._answers.close()
        with suppress(BrokenPipeError):  # what it was not given any more
            self._requests.close()
        return status

    def _send(self, *pieces: bytes) -> None:
        try:
            self._requests.writelines(pieces)
            self._requests.flush()
        except BrokenPipeError:
            raise _Died from None

    def _line(self) -> dict[str, Any]:
        line = self._answers.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise _Died
        values: dict[str, Any] = json.loads(line)
        return values

    def _image(self, width: int, height: int) -> Image.Image:
        pixels = bytearray(3 * width * height)
        if self._answers.readinto(pixels) != len(pixels):
            raise _Died
        return Image.frombytes("RGB", (width, height), pixels)


_idle: list[_Worker] = []
_places = threading.BoundedSemaphore(os.cpu_count() or 1)


def _forget() -> None:
    """In a fork, whose parent the processes answer."""
    global _places
    _idle.clear()
    _places = threading.BoundedSemaphore(os.cpu_count() or 1)


def end_idle() -> None:
    """End the processes that decode nothing now."""
    while _idle:
        _idle.pop().end()


os.register_at_fork(after_in_child=_forget)
atexit.register(end_idle)
