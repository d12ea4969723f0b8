"""Words that quote names and texts -> words that a terminal shows, and does not obey; and the way to stdout."""

from __future__ import annotations

import re
import sys

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def harmless(words: str, *, lines: bool = False) -> str:
    """With control characters as escapes; with `lines` the ends of lines stay."""
    return _CONTROL.sub(
        lambda found: found[0] if lines and found[0] == "\n" else found[0].encode("unicode_escape").decode(), words
    )


def write_out(text: str) -> None:
    """On stdout, in UTF-8 whatever the locale says; paths go out byte by byte as they are on the disk."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
