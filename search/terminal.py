"""Words that quote names and texts -> words that a terminal shows, and does not obey; and the way to stdout."""

from __future__ import annotations

import errno
import re
import sys
from typing import BinaryIO

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def harmless(words: str, *, lines: bool = False) -> str:
    """With control characters as escapes; with `lines` the ends of lines stay."""
    return _CONTROL.sub(
        lambda found: found[0] if lines and found[0] == "\n" else found[0].encode("unicode_escape").decode(), words
    )


def utf8(text: str) -> bytes:
    """In UTF-8 whatever the locale says; paths come out byte by byte as they are on the disk."""
    return text.encode("utf-8", "surrogateescape")


def stdout() -> BinaryIO:
    """Raises OSError where it is closed."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "stdout is closed; send it to a file or to /dev/null")
    return sys.stdout.buffer


def write_out(text: str) -> None:
    stdout().write(utf8(text))
    sys.stdout.flush()
