"""Who may ask: what the command line allows, as the application takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Access:
    """`token` is asked of everyone, unless it is None. `hosts` are the names that the server goes by; () is any.

    `rate` is how often one client is answered, as "300/minute"; None is always. `places` says whether everyone is told
    where pictures were taken.
    """

    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    rate: str | None = None
    places: bool = True


EVERYONE = Access()


def is_token(text: str) -> bool:
    """Whether a header can hold it and it is too long to be guessed."""
    return re.fullmatch("[!-~]+", text) is not None and len(text) >= MIN_TOKEN_LENGTH
