"""The process behind `search/apart.py`: pictures on stdin, one after the other -> their pixels and facts on stdout.

It ends when its stdin does, so with the process that started it; in the middle of a picture at the latest by its clock,
an alarm that ends the process wherever the decoder is. It limits its memory to what a picture of that size may need.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from search.errors import BadPicture
from search.image import decode_here
from search.types import Picture

FIXED_BYTES = 1 << 30
"""For Python, the decoders, their threads and what they need whatever the size."""

BYTES_A_PIXEL = 32
"""Four components of 32 bits, as OpenJPEG keeps them, and as many again for copies."""

COPIES = 4
"""Of the file."""

PIXELS_A_SECOND = 1_000_000

Say = Callable[..., None]


def main() -> None:
    """Answer until stdin ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # where a decoder may print
    _set_signals()
    _limit(resource.RLIMIT_CORE, 0)

    def say(values: dict[str, Any], pixels: bytes = b"") -> None:
        answers.writelines((json.dumps(values).encode() + b"\n", pixels))
        answers.flush()

    def asked(width: int, height: int) -> None:
        say({"room": [width, height]})
        if not requests.readline():
            sys.exit()

    say({})
    while line := requests.readline():
        _answer(json.loads(line), requests.read, asked, say)


def _answer(request: dict[str, Any], read: Callable[[int], bytes], ask: Callable[[int, int], None], say: Say) -> None:
    seconds, size_bytes = request["seconds"], request["bytes"]

    @contextmanager
    def room(width: int, height: int) -> Iterator[None]:
        signal.alarm(0)  # others may be before it
        ask(width, height)
        _limit_memory(size_bytes, width * height)
        signal.alarm(seconds + width * height // PIXELS_A_SECOND)
        yield

    _limit_memory(size_bytes, 0)
    data = read(size_bytes)
    signal.alarm(seconds)
    try:
        picture = decode_here(data, max_pixels=request["max_pixels"], short_side=request["short_side"], room=room)
        pixels = picture.image.tobytes()
    except BadPicture as error:
        say({"refused": str(error)})
    except MemoryError:
        say({"refused": "needs more memory than there is"})
    else:
        say({"size": picture.image.size, "facts": _facts(picture)}, pixels)
    signal.alarm(0)


def _facts(picture: Picture) -> dict[str, Any]:
    taken_at = picture.facts.taken_at
    return {**dataclasses.asdict(picture.facts), "taken_at": taken_at and taken_at.isoformat()}


def _set_signals() -> None:
    """A service manager's SIGTERM is for its parent; the alarm and a closed pipe end it without a word."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in (signal.SIGALRM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, signal.SIGPIPE})


def _limit_memory(file_bytes: int, pixels: int) -> None:
    """Of what it writes to. The address space is no measure: each thread reserves some that it never uses."""
    _limit(resource.RLIMIT_DATA, FIXED_BYTES + COPIES * file_bytes + BYTES_A_PIXEL * pixels)


def _limit(which: int, value: int) -> None:
    _, most = resource.getrlimit(which)
    resource.setrlimit(which, (value if most == resource.RLIM_INFINITY else min(value, most), most))
