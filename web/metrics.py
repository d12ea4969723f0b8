"""Several worker processes -> one set of numbers under /metrics. What is counted stands in instruments.py.

A server with several processes calls `share(directory)` before its first `create_app`, in the process that starts
the others. What a worker counted stays counted when it ends; nothing is to be done then. A server of one process
needs none of this.
"""

from __future__ import annotations

import os
from pathlib import Path

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in which the Prometheus client looks, once, when it is first imported."""


def share(directory: Path) -> None:
    """Let this process and those that it starts count in files in `directory`, which only they use."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):  # of processes of an earlier run
        file.unlink()
    os.environ[_DIRECTORY] = str(directory)


def shared() -> bool:
    return _DIRECTORY in os.environ
