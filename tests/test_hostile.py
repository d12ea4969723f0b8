"""Broken, odd and malicious files: each is decoded or refused with a reason, in bounded time and memory.

They are decoded in a process of their own, under a limit of its address space, so that a crash is seen as one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.collection import Collection
from search.image import SUFFIXES
from search.verify import verify
from tests.conftest import Build

PROJECT = Path(__file__).resolve().parents[1]
HOSTILE = PROJECT.parent / "shared" / "data" / "hostile"
MAX_ADDRESS_BYTES = 4 << 30
MAX_RESIDENT_BYTES = 2 << 30
MAX_SECONDS = 20

DECODE_ALL = """
import json, resource, sys, time
from pathlib import Path
from search.errors import BadPicture
from search.image import decode_picture
from search.paths import read_file

folder, address_bytes = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (int(address_bytes), int(address_bytes)))
files = []
for path in sorted(Path(folder).iterdir()):
    start, reason = time.monotonic(), None
    try:
        picture = decode_picture(read_file(path), max_pixels=128_000_000)
        assert picture.image.mode == "RGB"
        assert picture.image.size == (picture.facts.width, picture.facts.height)
        picture.image.resize((8, 8))
    except BadPicture as error:
        reason = str(error)
    files.append({"name": path.name, "reason": reason, "seconds": time.monotonic() - start})
status = Path("/proc/self/status").read_text()  # not getrusage: its peak begins with that of the parent
resident = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps({"files": files, "resident_bytes": resident}))
"""


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    if not HOSTILE.is_dir():
        pytest.skip(f"no samples in {HOSTILE}")
    if sys.platform != "linux":
        pytest.skip("the limits are those of Linux")
    command = [sys.executable, "-W", "error", "-c", DECODE_ALL, str(HOSTILE), str(MAX_ADDRESS_BYTES)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr.decode(errors="replace")[-2_000:]
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def test_every_file_is_decoded_or_refused_without_a_crash(outcome: dict[str, Any]) -> None:
    refused = [file for file in outcome["files"] if file["reason"] is not None]
    assert len(outcome["files"]) == len(list(HOSTILE.iterdir()))
    assert len(refused) < 0.1 * len(outcome["files"]), "most of these files are odd but whole"


def test_memory_and_time_are_bounded(outcome: dict[str, Any]) -> None:
    slow = [file for file in outcome["files"] if file["seconds"] > MAX_SECONDS]
    assert outcome["resident_bytes"] < MAX_RESIDENT_BYTES
    assert not slow


def test_every_reason_is_one_short_line_without_addresses_or_paths(outcome: dict[str, Any]) -> None:
    for reason in (file["reason"] for file in outcome["files"] if file["reason"] is not None):
        assert 0 < len(reason) < 200
        assert "\n" not in reason
        assert " at 0x" not in reason
        assert str(HOSTILE) not in reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pillow_decompression_bomb.ico", "65535 x 65535 = 4294.8 megapixels, over the limit of 128"),
        ("pillow_decompression_bomb.gif", "over the limit of 128 megapixels"),
        ("pillow_png_decompression_dos.png", "Decompressed data too large"),
        ("pngsuite_xs2n0g01.png", "not a picture of a known format"),
        ("pillow_truncated_end_chunk.png", "the file is truncated"),
    ],
)
def test_the_reason_names_what_is_wrong(outcome: dict[str, Any], name: str, reason: str) -> None:
    reasons = {file["name"]: file["reason"] for file in outcome["files"]}
    assert reason in reasons[name]


def test_a_build_indexes_every_file_or_records_why_not(collection: Collection, index: Build) -> None:
    if not HOSTILE.is_dir():
        pytest.skip(f"no samples in {HOSTILE}")
    report = index(HOSTILE)
    pictures = [file for file in HOSTILE.iterdir() if file.suffix.lower() in SUFFIXES]
    failures = {path: reason for path, reason, _ in collection.catalog.failures()}
    assert {*collection.catalog.paths(), *failures} == {str(file) for file in pictures}
    assert report.new + report.copied + report.failed == len(pictures)
    assert all(failures.values())
    assert verify(collection).clean
