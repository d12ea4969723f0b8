"""Edited photographs looked up in a collection: found, mistaken, how long; beside an embedding threshold and pHash.

    python -m benchmarks.lookup PHOTOS MODEL [COUNT]

PHOTOS is a folder of photographs: the first half is indexed, COUNT of these are edited in every way, and as many of
the other half are looked up as they are, which are not there. The embedding and pHash get the threshold that mistakes
at most 1 in 1,000 of these for another; "found" of all three is that the right image is the first of those it takes
for the same.
"""

from __future__ import annotations

import io
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.edits import edits_beside
from indexer.build import Options, build
from search.collection import Collection
from search.encoder import Encoder, load_encoder
from search.lookup import SAME, by_image
from search.searcher import Searcher
from search.types import Root

MISTAKES = 1000


def main(folder: Path, model: str, count: int) -> None:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    here, away = files[: len(files) // 2], files[len(files) // 2 :]
    encoder = load_encoder(model, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        searcher = indexed(here, encoder, Path(scratch))
        compare(searcher, encoder, here, away, count)


def indexed(files: Sequence[Path], encoder: Encoder, scratch: Path) -> Searcher:
    pictures = scratch / "pictures"
    pictures.mkdir()
    for file in files:
        (pictures / file.name).symlink_to(file.resolve())
    collection = Collection.create(scratch / "collection", encoder.identity)
    with collection.writing():
        build(
            collection,
            [Root(str(pictures))],
            lambda: encoder,
            options=Options(),
            progress=lambda *_: None,
            stop=threading.Event(),
        )
    return Searcher(collection, lambda: encoder)


def compare(searcher: Searcher, encoder: Encoder, here: Sequence[Path], away: Sequence[Path], count: int) -> None:
    originals = [opened(file) for file in here]
    vectors = encoder.encode_images(originals)
    hashes = np.stack([phash(image) for image in originals])
    strangers = [opened(file) for file in away]
    near = (encoder.encode_images(strangers) @ vectors.T).max(axis=1)
    apart = np.array([(hashes != phash(image)).sum(axis=1).min() for image in strangers])
    allowed = len(strangers) // MISTAKES
    least, most = np.sort(near)[-1 - allowed], np.sort(apart)[allowed]

    some = range(0, len(here), max(1, len(here) // count))
    print("edit | this | embedding | pHash   (share found)")
    for name in edits_beside(strangers[0]):
        found = np.zeros(3)
        for at in some:
            edited = edits_beside(strangers[at % len(strangers)])[name](originals[at], random.Random(at))
            first = by_image(searcher, png(edited))[0]
            found[0] += first.verdict in SAME and first.hit.path.name == here[at].name
            scores = vectors @ encoder.encode_images([edited])[0]
            found[1] += scores.argmax() == at and scores[at] > least
            bits = (hashes != phash(edited)).sum(axis=1)
            found[2] += bits.argmin() == at and bits[at] < most
        print(f"{name} | " + " | ".join(f"{100 * share:.1f} %" for share in found / len(some)), flush=True)

    mistaken, seconds = 0, []
    for at in range(0, len(strangers), max(1, len(strangers) // count)):
        started = time.perf_counter()
        mistaken += any(one.verdict in SAME for one in by_image(searcher, png(strangers[at])))
        seconds.append(time.perf_counter() - started)
    print(f"not there: {mistaken} of {len(seconds)} taken for another; the other two {allowed} of {len(strangers)}")
    print(f"a lookup of what is not there: {1000 * statistics.median(seconds):.0f} ms, with the image tower")


def phash(image: Image.Image) -> NDArray[np.bool_]:
    """The 64 lowest frequencies of a cosine transform, above their median: the usual pHash."""
    levels = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    steps = np.arange(32)
    basis = np.cos(np.pi / 32 * (steps + 0.5) * steps[:8, np.newaxis])
    low = (basis @ levels @ basis.T).ravel()
    return np.asarray(low > np.median(low))


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 500)
