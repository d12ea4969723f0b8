"""Processes that die at some of the steps of all that writes, and lose what they had not synced: nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from search.settings import PROJECT
from tests.scenarios import SCENARIOS

EVERY = {"build": 60, "update": 50}
"""Of the other scenarios every 40th step; `make torture` takes all."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and files found under /proc")
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_process_that_dies_at_any_step_loses_nothing(name: str) -> None:
    command = [sys.executable, "-m", "tests.faults", name, "--every", str(EVERY.get(name, 40)), "--instants", "1"]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    done = json.loads(ran.stdout)[name]
    assert done["killed"] == done["power lost"] > 0
