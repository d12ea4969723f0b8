"""Processes that die at some of the steps of all that writes, and lose what they had not synced: nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from search.settings import PROJECT
from tests.scenarios import SCENARIOS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and files found under /proc")
def test_processes_that_die_at_some_steps_lose_nothing() -> None:
    """`make torture` takes every step."""
    command = [sys.executable, "-m", "tests.faults", "--every", "80", "--instants", "1"]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    done = json.loads(ran.stdout)
    assert done.keys() == SCENARIOS.keys()
    assert all(one["killed"] == one["power lost"] > 0 for one in done.values())
