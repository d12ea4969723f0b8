"""Planted copies among many pictures: all of them found, nothing else, in what time; and lookups among them.

    python -m benchmarks.duplicates DIRECTORY COUNT... [--lookups]

So many pictures are drawn, no two alike, and every 20th is edited in one of the ways of benchmarks/edits.py. All are
images of a collection in DIRECTORY, which is kept: another run draws only what is not there, and compares all again.
Vectors are random, those of an edit near to its picture's, and none is that of a picture that is looked up: so only
local features can find one, and a lookup takes what it takes beyond the image tower. --lookups does nothing else, where
the collection was compared before.
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.edits import edits_beside
from benchmarks.lookup import png
from benchmarks.vectors import unit_rows
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.compared import COMPARED_FILE
from search.duplicates import find_duplicates
from search.local_features import record_of
from search.lookup import SAME, by_image
from search.searcher import Searcher
from search.settings import KEYPOINTS
from search.types import DUPLICATE_KINDS, DuplicateKind, EncoderIdentity, Facts

SIZE = (224, 168)
PLANT_EVERY = 20
NEW = 0.01
LOOKUPS = 60
IDENTITY = EncoderIdentity.claim("random", 512)
EDIT_MOVES = 0.2
"""How far an edit lies from its picture: their cosine is about 0.98."""

_PROCESSES = 2
_PICTURES_AT_ONCE = 500
_PLANTED = 16
_SHARES = (0.5, 0.4, 0.3, 0.2, 0.12)

Record = tuple[str, bytes]
"""What an image is called, and its local features."""


class RandomEncoder:
    """A tower that takes no time and recognises nothing."""

    identity = IDENTITY
    side = 224

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        return unit_rows(np.random.default_rng(0), len(images), IDENTITY.dim)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--lookups", action="store_true")
    arguments = parser.parse_args()
    for count in arguments.counts:
        directory = arguments.directory / str(count)
        print(f"{count:,} pictures, {-(-count // PLANT_EVERY):,} of them edited once more", flush=True)
        if not Collection.exists(directory):
            draw(Collection.create(directory, IDENTITY), 0, first_of(count))
        collection = Collection.open(directory)
        if not arguments.lookups:
            measure(collection, count)
        look_up(collection, count)
        collection.close()


def first_of(count: int) -> int:
    """So many pictures are compared first, with their edits, and the rest of `count` after these."""
    return round(count * (1 - NEW))


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


def records(numbers: Sequence[int]) -> list[Record]:
    """Named by their number, and by the edit too where it is one of the picture with that number."""
    edits, names, made = edits_beside(scene(0)), planted(), list[Record]()
    for number in numbers:
        image = scene(number)
        made.append((str(number), record_of(image, KEYPOINTS)))
        if name := edit_of(number, names):
            made.append((f"{number} {name}", record_of(edits[name](image, random.Random(number)), KEYPOINTS)))
    return made


def edit_of(number: int, names: Sequence[str]) -> str | None:
    """The edit of that picture that is planted, if one is."""
    return None if number % PLANT_EVERY else names[number // PLANT_EVERY % len(names)]


def draw(collection: Collection, start: int, end: int) -> None:
    """Add the pictures with the numbers from `start` up to `end`."""
    parts = [range(at, min(at + _PICTURES_AT_ONCE, end)) for at in range(start, end, _PICTURES_AT_ONCE)]
    with ProcessPoolExecutor(_PROCESSES) as processes:
        for made in processes.map(records, parts):
            added = [
                NewImage(FileStamp(f"/{name}", 1, 1), name.encode(), Facts(*SIZE, "PNG"), vector(name), features=record)
                for name, record in made
            ]
            collection.catalog.apply(Changes(added=added))


def vector(name: str) -> NDArray[np.float32]:
    """That of a picture, (dim,); an edit's is near to it."""
    number, _, edit = name.partition(" ")
    chance = np.random.default_rng(int(number))
    row: NDArray[np.float32] = unit_rows(chance, 1, IDENTITY.dim)[0]
    if edit:
        row += np.float32(EDIT_MOVES) * unit_rows(chance, 1, IDENTITY.dim)[0]
    return row / np.linalg.norm(row)


def measure(collection: Collection, count: int) -> None:
    """All but a hundredth of the images are compared, then the rest is added and compared."""
    first, names = first_of(count), planted()
    (collection.directory / COMPARED_FILE).unlink(missing_ok=True)
    later = [file.id for file in collection.catalog.bulk.files() if number_of(file.path) >= first]
    collection.catalog.apply(Changes(removed=later))  # what is left of an earlier run
    for what in ("all but 1 %", "the rest", "nothing new"):
        if what == "the rest":
            draw(collection, first, count)
        print(f"  {what}: index published in {seconds(collection.publish_if_changed)}")
        for kind in DUPLICATE_KINDS:
            compared = seconds(lambda kind=kind: find_duplicates(collection, kind, stop=threading.Event()))  # type: ignore[misc]
            print(f"    {kind}: {compared}", flush=True)
    wanted = {f"{number} {edit}" for number in range(count) if (edit := edit_of(number, names))}
    for kind in ("edited", "similar"):
        report(collection, kind, wanted)


def report(collection: Collection, kind: DuplicateKind, wanted: set[str]) -> None:
    groups = find_duplicates(collection, kind, stop=threading.Event())
    found = [sorted(Path(image.path).name for image in group.images) for group in groups]
    right = [two for two in found if len(two) == 2 and two[0] == two[1].partition(" ")[0]]
    missed = sorted(wanted - {edited for _, edited in right})
    print(
        f"  {kind}: {len(right)} of {len(wanted)} found, {len(found) - len(right)} false groups; "
        f"missed: {missed or 'none'}",
        flush=True,
    )


def number_of(path: str) -> int:
    return int(Path(path).name.partition(" ")[0])


def look_up(collection: Collection, count: int) -> None:
    """Pictures that are here, cropped and saved as JPEG, and pictures that are not."""
    searcher = Searcher(collection, RandomEncoder)  # type: ignore[arg-type]
    edit = edits_beside(scene(0))["crop 50 % + JPEG 30"]
    by_image(searcher, png(scene(count)))  # the first opens the index
    for what, start in (("here", 0), ("not here", count + 1)):
        asked = [scene(number) for number in range(start, start + LOOKUPS)]
        found, taken, used = 0, [], time.process_time()
        for image in asked:
            data = png(edit(image, random.Random(0)))
            began = time.perf_counter()
            found += by_image(searcher, data)[0].verdict in SAME
            taken.append(1000 * (time.perf_counter() - began))
        median, slow = statistics.median(taken), float(np.percentile(taken, 95))
        used = 1000 * (time.process_time() - used) / LOOKUPS
        print(
            f"  {LOOKUPS} lookups of what is {what}: {found} found, {median:.0f} ms (95 %: {slow:.0f} ms), "
            f"{used:.0f} ms of processors with making the picture",
            flush=True,
        )


def seconds(work: Callable[[], object]) -> str:
    """How long it took by the clock, and on all processors together."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return f"{time.perf_counter() - began:.1f} s, {time.process_time() - used:.1f} s of processors"


if __name__ == "__main__":
    main()
