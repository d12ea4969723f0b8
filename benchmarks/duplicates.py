"""Planted copies among many pictures: all of them found, nothing else, in what time; and lookups among them.

    python -m benchmarks.duplicates COUNT...

So many pictures are drawn, no two alike, and every 20th is edited in one of the ways of benchmarks/edits.py. All are
images of one collection with random vectors: only local features can find anything, and a lookup takes what it takes
beyond the image tower.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.edits import edits_beside
from benchmarks.lookup import png
from benchmarks.vectors import unit_rows
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.duplicates import find_duplicates
from search.local_features import record_of
from search.lookup import SAME, by_image
from search.searcher import Searcher
from search.settings import KEYPOINTS
from search.types import EncoderIdentity, Facts

SIZE = (224, 168)
PLANT_EVERY = 20
NEW = 0.01
LOOKUPS = 60
IDENTITY = EncoderIdentity.claim("random", 512)
_ROWS_A_TRANSACTION = 1_000
_PLANTED = 16
_SHARES = (0.5, 0.4, 0.3, 0.2, 0.12)

Record = tuple[str, bytes]
"""What an image is called, and its local features."""


class RandomEncoder:
    """A tower that takes no time and recognises nothing."""

    identity = IDENTITY

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        return unit_rows(np.random.default_rng(0), len(images), IDENTITY.dim)


def main(counts: Sequence[int]) -> None:
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            measure(Path(scratch) / "collection", count, records(count))


def scene(seed: int) -> Image.Image:
    """Clouds, and shapes on them."""
    chance = np.random.default_rng(seed)
    octaves = [chance.integers(0, 256, (3 * 2**octave, 4 * 2**octave, 3), np.uint8) for octave in range(6)]
    layers = [Image.fromarray(octave).resize(SIZE, Image.Resampling.BICUBIC) for octave in octaves]
    image = layers[0]
    for layer, share in zip(layers[1:], _SHARES, strict=True):
        image = Image.blend(image, layer, share)
    draw = ImageDraw.Draw(image)
    for _ in range(int(chance.integers(6, 20))):
        red, green, blue = chance.integers(0, 256, 3).tolist()
        x, y = int(chance.integers(0, SIZE[0])), int(chance.integers(0, SIZE[1]))
        wide, high = chance.integers(6, 60, 2).tolist()
        match chance.integers(3):
            case 0:
                draw.ellipse((x - wide, y - high, x + wide, y + high), (red, green, blue))
            case 1:
                corners = chance.normal(0, wide * 0.7, (int(chance.integers(3, 7)), 2)) + np.array((x, y))
                draw.polygon([tuple(corner) for corner in corners.tolist()], (red, green, blue))
            case _:
                corners = chance.normal(0, wide, (3, 2)) + np.array((x, y))
                draw.line(
                    [tuple(corner) for corner in corners.tolist()], (red, green, blue), int(chance.integers(1, 6))
                )
    return image


def planted() -> list[str]:
    """The edits of one picture, one at a time, that leave most of it."""
    return list(edits_beside(scene(0)))[:_PLANTED]


def records(count: int) -> Iterator[Record]:
    """Named by their number, and by the edit too where it is one of the picture with that number."""
    edits, names = edits_beside(scene(0)), planted()
    for number in range(count):
        image = scene(number)
        yield str(number), record_of(image, KEYPOINTS)
        if number % PLANT_EVERY == 0:
            name = names[number // PLANT_EVERY % len(names)]
            yield f"{number} {name}", record_of(edits[name](image, random.Random(number)), KEYPOINTS)


def measure(directory: Path, count: int, made: Iterator[Record]) -> None:
    """All but a hundredth of the images are added and compared, then the rest."""
    collection = Collection.create(directory, IDENTITY)
    rows = list(made)
    first = round(len(rows) * (1 - NEW))
    print(f"{count:,} pictures, {len(rows) - count:,} of them edited once more")
    for what, some in (("all but 1 %", rows[:first]), ("the rest", rows[first:])):
        for start in range(0, len(some), _ROWS_A_TRANSACTION):
            add(collection, some[start : start + _ROWS_A_TRANSACTION])
        published = seconds(collection.publish)
        compared = seconds(lambda: find_duplicates(collection, "edited", stop=threading.Event()))
        print(f"  {what}: index published in {published:.1f} s, compared in {compared:.1f} s", flush=True)
    report(collection, {name for name, _ in rows if " " in name})
    look_up(collection, count)
    collection.close()


def report(collection: Collection, wanted: set[str]) -> None:
    groups = find_duplicates(collection, "edited", stop=threading.Event())
    names = [sorted(Path(image.path).name for image in group.images) for group in groups]
    right = [two for two in names if len(two) == 2 and two[0] == two[1].partition(" ")[0]]
    missed = sorted(name.partition(" ")[2] for name in wanted - {edited for _, edited in right})
    print(f"  {len(right)} of {len(wanted)} found, {len(names) - len(right)} false groups; missed: {missed or 'none'}")


def look_up(collection: Collection, count: int) -> None:
    """Pictures that are here, cropped and saved as JPEG, and pictures that are not."""
    searcher = Searcher(collection, RandomEncoder)  # type: ignore[arg-type]
    edit = edits_beside(scene(0))["crop 50 % + JPEG 30"]
    by_image(searcher, png(scene(count)))  # the first opens the index
    for what, start in (("here", 0), ("not here", count + 1)):
        asked = [scene(number) for number in range(start, start + LOOKUPS)]
        found, taken = 0, []
        for image in asked:
            data = png(edit(image, random.Random(0)))
            began = time.perf_counter()
            found += by_image(searcher, data)[0].verdict in SAME
            taken.append(1000 * (time.perf_counter() - began))
        median, slow = statistics.median(taken), float(np.percentile(taken, 95))
        print(
            f"  {LOOKUPS} lookups of what is {what}: {found} found, {median:.0f} ms (95 %: {slow:.0f} ms)", flush=True
        )


def add(collection: Collection, rows: Sequence[Record]) -> None:
    vectors = unit_rows(np.random.default_rng(0), len(rows), IDENTITY.dim)
    added = [
        NewImage(FileStamp(f"/{name}", 1, 1), name.encode(), Facts(*SIZE, "PNG"), vector, features=record)
        for (name, record), vector in zip(rows, vectors, strict=True)
    ]
    collection.catalog.apply(Changes(added=added))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]])
