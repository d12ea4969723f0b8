"""Readers in processes of their own, while a writer builds, removes and repairs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from search.settings import PROJECT


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
def test_eight_readers_see_no_error_no_removed_image_and_no_other_pictures_score() -> None:
    """For minutes: `make torture`."""
    command = [sys.executable, "-m", "tests.readers", "6"]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    found = json.loads(ran.stdout)
    assert found["queries"] > 50 and found["rounds"] > 1
