"""How long a build takes when nothing changed, and when the whole folder was renamed.

    python -m benchmarks.no_change [FILES]

Makes FILES (100,000) small pictures with their rows, then runs `python -m indexer build` on them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from search.building import build_model
from search.changes import Changes, FileStamp, NewImage
from search.checkpoints import find_checkpoint
from search.collection import Collection
from search.image import digest_of
from search.local_features import record_of
from search.settings import PROJECT
from search.types import Facts, Root

FILES_A_FOLDER = 1_000
ROWS_A_TRANSACTION = 5_000


def main(files: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        photos, directory = Path(scratch) / "photos", Path(scratch) / "collection"
        identity = build_model(find_checkpoint("bundled")).identity
        collection = Collection.create(directory, identity)
        collection.catalog.follow([Root(str(photos))])
        rows = list(make_files(photos, files, identity.dim))
        for start in range(0, files, ROWS_A_TRANSACTION):
            collection.catalog.apply(Changes(added=rows[start : start + ROWS_A_TRANSACTION]))
        collection.publish()
        collection.close()
        before = (directory / "catalog.sqlite").stat()
        print(f"nothing changed, {files:,} files: {build(photos, directory):.1f} s")
        after = (directory / "catalog.sqlite").stat()
        print(f"catalog written: {before.st_mtime_ns != after.st_mtime_ns}")
        renamed = photos.rename(photos.with_name("pictures"))
        print(f"renamed wholesale, {files:,} files: {build(renamed, directory):.1f} s")


def make_files(folder: Path, count: int, dim: int) -> Iterator[NewImage]:
    """Write pictures, each with a content of its own, and yield the rows that a build would make of them."""
    generator = np.random.default_rng(0)
    features = record_of(Image.new("RGB", (2, 2)), 64)
    for number in range(count):
        path = folder / f"{number // FILES_A_FOLDER:03}" / f"{number:06}.bmp"
        if number % FILES_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        Image.frombytes("RGB", (2, 2), number.to_bytes(4, "big") + bytes(8)).save(path)
        status = path.stat()
        vector = generator.normal(size=dim)
        yield NewImage(
            FileStamp(str(path), status.st_size, status.st_mtime_ns),
            digest_of(path.read_bytes()),
            Facts(2, 2, "BMP"),
            vector / np.linalg.norm(vector),
            features=features,
        )


def build(folder: Path, directory: Path) -> float:
    """Seconds that the whole command takes; prints its report."""
    command = [sys.executable, "-m", "indexer", "build", str(folder), "--collection", str(directory)]
    started = time.perf_counter()
    subprocess.run(command, cwd=PROJECT, env={**os.environ, "IMAGE_SEARCH_MODEL": "auto"}, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
