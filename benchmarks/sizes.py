"""What an image takes: time of a core to be read, bytes of the catalog, of indexes and of memory, time to be published.

    python -m benchmarks.sizes [DIM]...

Each number is the difference between collections of 20,000 and 40,000 images, divided by 20,000, so that what any
collection has is left out. Vectors, digests and local features are random, paths are of 52 characters.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.vectors import unit_rows
from indexer.bench_pictures import LARGE, SMALL, picture
from indexer.scan import FoundFile
from search.changes import Caption, Changes, FileStamp, NewImage
from search.collection import Collection
from search.image import SCALED, decode_picture, digest_of
from search.local_features import record_of
from search.types import EncoderIdentity, Facts, IndexPolicy

SIZES = (20_000, 40_000)
RECORD_BYTES = 64 * 70 + 1028
"""Of 64 local features, as docs/CLI.md has it for --keypoints."""

_ROWS_A_TRANSACTION = 256
_STAMP = FileStamp("", 3_000_000, 1_700_000_000_000_000_000)
_FACTS = Facts(4032, 3024, "JPEG", camera="Some camera", lens="Some lens of 24-70 mm", latitude=48.2, longitude=16.37)


def main(dims: list[int]) -> None:
    for size in (SMALL, LARGE):
        decoding, describing = processor_ms(size)
        print(
            f"{size[0]} x {size[1]} JPEG: {decoding:.1f} ms of a core to decode, {describing:.1f} ms for local features"
        )
    for dim in dims:
        print(f"{dim} dimensions; bytes an image, where nothing else is said")
        plain = per_image(dim)
        for name, value in plain.items():
            print(f"  {name:40} {value:10,.1f}")
        for name, options in (("a caption", {"captions": True}), ("64 local features", {"features": True})):
            print(f"  {'catalog, for ' + name:40} {per_image(dim, **options)['catalog'] - plain['catalog']:10,.1f}")


def processor_ms(size: tuple[int, int]) -> tuple[float, float]:
    """To decode a JPEG for a model of 224 pixels, and to take 64 local features of it: medians of 9."""
    stream = io.BytesIO()
    picture(np.random.default_rng(0), size).save(stream, "JPEG", quality=90)
    decoding, describing = [], []
    for _ in range(9):
        started = time.process_time()
        image = decode_picture(stream.getvalue(), max_pixels=size[0] * size[1], short_side=SCALED * 224).image
        decoding.append(time.process_time() - started)
        started = time.process_time()
        record_of(image, 64)
        describing.append(time.process_time() - started)
    return 1000 * float(np.median(decoding)), 1000 * float(np.median(describing))


def per_image(dim: int, *, captions: bool = False, features: bool = False) -> dict[str, float]:
    small, large = (measure(dim, size, captions=captions, features=features) for size in SIZES)
    return {name: (large[name] - small[name]) / (SIZES[1] - SIZES[0]) for name in small}


def measure(dim: int, size: int, *, captions: bool, features: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "collection"
        collection = Collection.create(directory, EncoderIdentity("random", "random", "0" * 64, dim, "none"))
        started = time.perf_counter()
        for rows in batches(dim, size, captions=captions, features=features):
            collection.catalog.apply(Changes(added=rows))
        write_us = 1e6 * (time.perf_counter() - started)
        found: dict[str, float] = {}
        for kind in ("exact", "scan"):
            started = time.perf_counter()
            collection.publish(IndexPolicy(kind))
            found[f"microseconds to publish, {kind}"] = 1e6 * (time.perf_counter() - started)
            found[f"index file, {kind}"] = sum(file.stat().st_size for file in directory.glob("images-*"))
        tracemalloc.start()
        known = collection.catalog.known_files("/photos")
        seen = [FoundFile(replace(_STAMP, path=f"{path}.")) for path in known]
        found["memory to plan a build"] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(known) == len(seen) == size
        collection.close()
        catalog = sum(file.stat().st_size for file in directory.glob("catalog.sqlite*"))
        return {"catalog": catalog, "microseconds to write": write_us, **found}


def batches(dim: int, size: int, *, captions: bool, features: bool) -> Iterator[list[NewImage]]:
    generator = np.random.default_rng(0)
    record = generator.bytes(RECORD_BYTES)
    for start in range(0, size, _ROWS_A_TRANSACTION):
        vectors = unit_rows(generator, min(_ROWS_A_TRANSACTION, size - start), dim)
        yield [
            NewImage(
                FileStamp(f"/photos/2024/06/21/a-folder-with-a-name/{number:08}.jpg", 3_000_000, number),
                digest_of(number.to_bytes(4)),
                _FACTS,
                vector,
                [Caption(f"what picture {number} shows, in some words of English", vector)] if captions else [],
                record if features else None,
            )
            for number, vector in enumerate(vectors, start)
        ]


if __name__ == "__main__":
    main([int(dim) for dim in sys.argv[1:]] or [512, 768])
