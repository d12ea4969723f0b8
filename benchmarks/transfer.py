"""Import of many vectors, and export of them again: time and peak memory of each, the whole command.

    python -m benchmarks.transfer [ROWS]...

The vectors are made by ../shared/data/clip_space/make_vectors.py; half of the rows have captions with vectors.
"""

from __future__ import annotations

import json
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MAKE = Path(__file__).resolve().parents[2] / "shared" / "data" / "clip_space" / "make_vectors.py"


def main(sizes: list[int]) -> None:
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), size)
            where = ["--collection", f"{folder}/collection"]
            for verb in ("import", "export"):
                options = [] if verb == "export" else ["--model", "ViT-B-32/openai"]
                seconds, computing, megabytes = run([verb, f"{folder}/{verb}", *options, *where])
                print(f"{size:,} rows, {verb}: {seconds:.1f} s, {computing:.1f} s computing, peak {megabytes:,.0f} MB")


def prepare(folder: Path, size: int) -> None:
    """Files to import in `folder`/import."""
    (folder / "import").mkdir()
    images, _, _ = runpy.run_path(str(MAKE))["make"](size, queries=1)
    np.save(folder / "import" / "image_vectors.npy", images)
    np.save(folder / "import" / "text_vectors.npy", images[::2])
    with (folder / "import" / "image_rows.json").open("w") as stream:
        for number in range(size):
            captions = [f"what picture {number} shows"] if number % 2 == 0 else []
            row = {"path": f"set/{number:08}.jpg", "width": 640, "height": 480, "format": "JPEG", "captions": captions}
            stream.write(json.dumps(row) + "\n")


def run(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds by the clock and on the processors, and the peak resident memory in megabytes, of this or one before."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "indexer", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    computing = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, computing, after.ru_maxrss / 1000


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [200_000])
