"""How a command line ends: the exit codes, as grep has them, and what ends a command early -> one of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from search.errors import SearchError
from search.terminal import harmless

OK = 0
"""Done, and the answer is yes: something was found, nothing is wrong."""

NO = 1
"""Done, and the answer is no: nothing was found, something is wrong."""

ERROR = 2
"""It could not be done; a line on stderr says why. Also for wrong usage."""

INTERRUPTED = 130
"""Stopped by Ctrl-C, with all finished work kept; or nobody reads the results any more."""


def exit_code(command: Callable[[], int], *, advice: str = "") -> int:
    """What the command returns. Of what it raises instead a line on stderr says why; advice follows the system's."""
    try:
        return command()
    except SearchError as error:
        return refuse(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who read the rows has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except OSError as error:  # a full disk, no permission, no descriptor left
        return refuse(_told(error) + advice)


def refuse(why: str) -> int:
    """Say why it could not be done, and return the code that says so."""
    print(f"error: {harmless(why, lines=True)}", file=sys.stderr, flush=True)
    return ERROR


def _told(error: OSError) -> str:
    """What the system says of which file."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
