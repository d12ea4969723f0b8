"""Import of many vectors, and export of them again: seconds and peak memory of each, the whole command.

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
                seconds, megabytes = run([verb, f"{folder}/{'in' if verb == 'import' else 'out'}", *options, *where])
                print(f"{size:,} rows, {verb}: {seconds:.1f} s, {size / seconds:,.0f} rows/s, peak {megabytes:,.0f} MB")


def prepare(folder: Path, size: int) -> None:
    """Files to import in `folder`/in."""
    (folder / "in").mkdir()
    images, _, _ = runpy.run_path(str(MAKE))["make"](size, queries=1)
    np.save(folder / "in" / "image_vectors.npy", images.astype(np.float16))
    np.save(folder / "in" / "text_vectors.npy", images[::2].astype(np.float16))
    with (folder / "in" / "image_rows.json").open("w") as stream:
        for number in range(size):
            captions = [f"what picture {number} shows"] if number % 2 == 0 else []
            row = {"path": f"set/{number:08}.jpg", "width": 640, "height": 480, "format": "JPEG", "captions": captions}
            stream.write(json.dumps(row) + "\n")


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds, and the peak resident memory of this command or one before in megabytes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "indexer", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [200_000])
