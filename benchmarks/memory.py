"""Peak memory of a build of 1,000 and of 10,000 pictures: the look-ahead is bounded, so they are alike.

    python -m benchmarks.memory [PICTURES]...

Every picture is a 1024 x 768 JPEG with a content of its own. The bundled model is used; a build of one picture exports
its towers first, where they are not yet, which takes more memory than a build.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from search.settings import PROJECT


def main(counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for count in [1, *counts]:
            folder = Path(scratch) / f"{count}"
            make_pictures(folder, count)
            print(f"{count:6,} pictures: peak {peak_megabytes(folder, Path(scratch) / f'{count}-collection'):,.0f} MB")


def make_pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    generator = np.random.default_rng(count)
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), np.uint8))
        coarse.resize((1024, 768), Image.Resampling.BILINEAR).save(folder / f"{number}.jpg", quality=80)


def peak_megabytes(folder: Path, directory: Path) -> float:
    """The most memory that was resident in a build of `folder`, run by a child of a fresh process."""
    command = ["build", str(folder), "--model", "bundled", "--collection", str(directory)]
    program = f"import sys; from indexer.cli import main; sys.exit(main({command!r}))"
    measure = (
        "import resource, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {program!r}], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", measure], cwd=PROJECT, check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1]) * 1024 / 1e6


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1_000, 10_000])
