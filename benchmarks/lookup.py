"""Edited photographs looked up in a collection: found, mistaken, how long; beside an embedding threshold and pHash.

    python -m benchmarks.lookup PHOTOS MODEL [--count N] [--steps edits away pairs] [--edits NAME...]

PHOTOS is a folder of photographs. The first half is indexed. `edits`: N of these are edited in every way, or in those
that are named. The embedding and pHash get the threshold that mistakes at most 1 in 1,000 of the other half for
another; "found" of all three is that the right image is the first of those it takes for the same. `away`: N of the
other half are looked up as they are, which are not there. `pairs`: different photographs of one subject, as
PHOTOS.captions.json beside the folder has it, compared each with each, plain and in the same frame. Times are those of
the processor.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.edits import edits_beside
from indexer.build import Options, build
from search.alignment import Alignment
from search.collection import Collection
from search.encoder import Encoder, load_encoder
from search.local_features import record_of, unpacked
from search.lookup import SAME, by_image
from search.same_picture import QueryPicture
from search.searcher import Searcher
from search.settings import KEYPOINTS
from search.types import Root

MISTAKES = 1000
FRAMES = ("caption", "logo", "border", "screenshot")
FRAMED = 2000
REPORT_EVERY = 50
_SAID_BY = 3
_WORDS_IN_COMMON = 2
_NO_SUBJECT = (
    "a an the in on of at to with and is are it its his her their up by from near while into over through another two "
    "three some out off down for as front looking wearing one other there something that who being"
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--steps", nargs="+", choices=("edits", "away", "pairs"), default=("edits", "away", "pairs"))
    parser.add_argument("--edits", nargs="+")
    arguments = parser.parse_args()
    files = sorted(file for file in arguments.folder.iterdir() if file.is_file())
    here, away = files[: len(files) // 2], files[len(files) // 2 :]
    if "pairs" in arguments.steps:
        tell_apart(files, arguments.folder.with_name(f"{arguments.folder.name}.captions.json"))
    if {"edits", "away"} & {*arguments.steps}:
        encoder = load_encoder(arguments.model, device="cpu")
        with tempfile.TemporaryDirectory() as scratch:
            searcher = indexed(here, encoder, Path(scratch))
            if "edits" in arguments.steps:
                compare(searcher, encoder, here, away, arguments.count, arguments.edits)
            if "away" in arguments.steps:
                look_for(searcher, away, arguments.count)


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
    return Searcher(collection, lambda: Once(encoder))  # type: ignore[arg-type, return-value]


def compare(
    searcher: Searcher,
    encoder: Encoder,
    here: Sequence[Path],
    away: Sequence[Path],
    count: int,
    names: Sequence[str] | None,
) -> None:
    originals = [opened(file) for file in here]
    vectors = encoder.encode_images(originals)
    hashes = np.stack([phash(image) for image in originals])
    strangers = [opened(file) for file in away]
    near = (encoder.encode_images(strangers) @ vectors.T).max(axis=1)
    apart = np.array([(hashes != phash(image)).sum(axis=1).min() for image in strangers])
    allowed = len(strangers) // MISTAKES
    least, most = np.sort(near)[-1 - allowed], np.sort(apart)[allowed]

    chosen = random.Random(0).sample(range(len(here)), min(count, len(here)))
    edits = names or list(edits_beside(strangers[0]))
    found, taken = {name: np.zeros(3) for name in edits}, dict[str, list[float]]({name: [] for name in edits})
    print(f"the other two mistake {allowed} of {len(strangers)} others, as few as they may", flush=True)
    for done, at in enumerate(chosen, 1):
        for name in edits:
            edited = edits_beside(strangers[at % len(strangers)])[name](originals[at], random.Random(at))
            data, began = png(edited), time.process_time()
            first = by_image(searcher, data)[0]
            taken[name].append(1000 * (time.process_time() - began))
            scores = vectors @ searcher.embedder.encoder.encode_images([edited])[0]
            bits = (hashes != phash(edited)).sum(axis=1)
            found[name] += (
                first.verdict in SAME and first.hit.path.name == here[at].name,
                scores.argmax() == at and scores[at] > least,
                bits.argmin() == at and bits[at] < most,
            )
        if done % REPORT_EVERY == 0 or done == len(chosen):
            print(f"{done} photographs of {len(here)}")
            print("edit | this | embedding | pHash   (share found) | ms of processor a lookup, with the tower")
            for name in edits:
                shares = " | ".join(f"{100 * share:.1f} %" for share in found[name] / done)
                print(f"{name} | {shares} | {statistics.median(taken[name]):.0f}", flush=True)


class Once:
    """A tower that does not look twice at the picture that it was asked for last."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._last = (b"", np.zeros((0, 0), np.float32))
        self.identity = encoder.identity
        self.side = encoder.side

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        seen = b"".join(image.tobytes() for image in images)
        if self._last[0] != seen:
            self._last = seen, self._encoder.encode_images(images)
        return self._last[1]


def look_for(searcher: Searcher, away: Sequence[Path], count: int) -> None:
    """Photographs that are not there; every wrong verdict is told."""
    mistaken, taken = 0, []
    for file in away[:: max(1, len(away) // count)]:
        data, began = png(opened(file)), time.process_time()
        wrong = [one.hit.path.name for one in by_image(searcher, data) if one.is_same]
        taken.append(1000 * (time.process_time() - began))
        mistaken += bool(wrong)
        if wrong:
            print(f"  {file.name} is taken for {wrong}")
    print(
        f"not there: {mistaken} of {len(taken)} taken for another; {statistics.median(taken):.0f} ms of processor each"
    )


def tell_apart(files: Sequence[Path], captions: Path) -> None:
    """Different photographs of one subject: how many are taken for the same."""
    images = {file.name: opened(file) for file in files}
    pairs = list(of_one_subject(json.loads(captions.read_text()), sorted(images)))
    report_pairs("of one subject", images, pairs)
    some = random.Random(0).sample(pairs, min(FRAMED, len(pairs)))
    used = sorted({name for pair in some for name in pair})
    for frame in FRAMES:
        edit = edits_beside(images[used[0]])[frame]
        report_pairs(f"in the same frame: {frame}", {name: edit(images[name], random.Random(0)) for name in used}, some)


def of_one_subject(captions: dict[str, list[str]], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of photographs of which most captions name the same two things: a dog and snow, a man and a bike."""
    said = {}
    for name in names:
        words = Counter(word for text in captions[name] for word in {*re.findall("[a-z]+", text.lower())})
        said[name] = {word for word, count in words.items() if count >= _SAID_BY} - {*_NO_SUBJECT.split()}
    for first, second in combinations(names, 2):
        if len(said[first] & said[second]) >= _WORDS_IN_COMMON:
            yield first, second


def report_pairs(what: str, images: dict[str, Image.Image], pairs: Sequence[tuple[str, str]]) -> None:
    """The first of a pair is the picture asked with, the second is what a catalog keeps."""
    pictures = {name: QueryPicture.of(images[name]) for name in {first for first, _ in pairs}}
    records = {name: unpacked(record_of(images[name], KEYPOINTS)) for name in {second for _, second in pairs}}
    same: list[tuple[tuple[str, str], Alignment]] = []
    for first, second in pairs:
        found = pictures[first].align(records[second], None)
        if found and found.same:
            same.append(((first, second), found))
    print(f"{what}: {len(same)} of {len(pairs):,} pairs taken for the same", flush=True)
    for pair, found in same:
        print(f"  {pair}: {found.inliers} inliers in {found.parts} parts, agreement {found.agreement:.2f}")


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
    main()
