"""`python -m tests.damage FLIPS`: bits flipped, tails cut, files swapped and missing; what becomes of each, counted."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.build import Options, build
from search.classify import Classifier
from search.collection import Collection
from search.errors import SearchError
from search.query import VectorTerm
from search.searcher import Searcher
from search.types import Logits, Root
from search.verify import repair, verify
from search.vocabulary import Vocabulary
from tests.colors import ColorEncoder

K = 4

Hits = list[tuple[int, str, float]]
Damage = Callable[[Path], None]


@dataclass(frozen=True)
class Sound:
    """A whole collection with its folder of pictures, and what it answers."""

    directory: Path
    photos: Path
    hits: list[Hits]
    scored: list[Hits]

    def copied(self, to: Path) -> Path:
        shutil.rmtree(to, ignore_errors=True)
        return Path(shutil.copytree(self.directory, to))

    def files(self) -> list[str]:
        return sorted(
            file.name for file in self.directory.iterdir() if file.suffix in (".sqlite", ".faiss", ".npy", ".bin")
        )


def make(place: Path, seed: int = 0, pictures: int = 12) -> Sound:
    """A collection of `pictures` with captions and tags, published twice."""
    photos, directory, encoder = place / "photos", place / "collection", ColorEncoder()
    photos.mkdir(parents=True)
    colors = np.random.default_rng(seed).integers(0, 256, (pictures, 3))
    collection = Collection.create(directory, encoder.identity)
    for half in (slice(0, pictures // 2), slice(pictures // 2, None)):
        for number in range(pictures)[half]:
            Image.new("RGB", (9, 8 + number), tuple(map(int, colors[number]))).save(photos / f"{number}.png")
            (photos / f"{number}.txt").write_text(f"red {number}\n")
        update(collection, photos, encoder)
    labels = Classifier(("warm", "cold"), encoder.encode_texts(["red", "blue"]), Logits(20.0))
    collection.tag(Vocabulary(labels, np.full(2, 0.6, np.float32), np.array([False, False])))
    hits, scored = answers(collection), answers(collection, pictures)
    collection.close()
    return Sound(directory, photos, hits, scored)


def update(collection: Collection, photos: Path, encoder: ColorEncoder) -> None:
    with collection.writing():
        collection.catalog.follow([Root(str(photos))])
        build(
            collection,
            [Root(str(photos))],
            lambda: encoder,
            options=Options(batch_size=4, workers=1, keypoints=0),
            progress=lambda *_: None,
            stop=threading.Event(),
        )


def answers(collection: Collection, k: int = K) -> list[Hits]:
    """The hits of some queries, among images and among texts."""
    searcher = Searcher(collection, ColorEncoder)
    queries = ColorEncoder().encode_texts(["red", "green", "blue", "yellow"])
    return [
        [
            (hit.id, str(hit.path), round(hit.score, 5))
            for hit in searcher.search([VectorTerm(query)], k=k, target=target)
        ]
        for query in queries
        for target in ("images", "texts")
    ]


def outcome(directory: Path, sound: Sound) -> str:
    """What becomes of a damaged collection."""
    try:
        collection = Collection.open(directory)
    except SearchError:
        return "refused when opened"
    try:
        asked = _asked(collection, sound)
        clean = verify(collection).clean
    except SearchError:
        return "refused by verify"
    finally:
        collection.close()
    if not clean:
        return f"{asked}, found by verify"
    return f"{asked}, " + ("unnoticed" if dump(directory) != dump(sound.directory) else "no harm")


def _asked(collection: Collection, sound: Sound) -> str:
    """Whether hits are refused, right, true (each with its own score, but not the nearest) or wrong."""
    try:
        hits = answers(collection)
    except SearchError:
        return "refused when asked"
    if hits == sound.hits:
        return "right hits"
    true = all(set(some) <= set(scored) for some, scored in zip(hits, sound.scored, strict=True))
    return "true hits" if true else "WRONG HITS"


def dump(directory: Path) -> list[str]:
    with closing(sqlite3.connect(directory / "catalog.sqlite")) as connection:
        connection.text_factory = lambda data: data.decode(errors="replace")
        try:
            return list(connection.iterdump())
        except (TypeError, sqlite3.Error) as error:  # a name in the schema that is no text any more, which SQLite takes
            return [repr(error)]


def repaired(directory: Path, sound: Sound) -> bool:
    """Whether `verify --repair` and an update make it answer as before."""
    try:
        collection = Collection.open(directory)
        repair(collection, verify(collection))
        update(collection, sound.photos, ColorEncoder())
        clean = verify(collection).clean
        score = [[hit[1:] for hit in hits] for hits in answers(collection)]
        collection.close()
    except SearchError:
        return False
    return clean and score == [[hit[1:] for hit in hits] for hits in sound.hits]


def flip(bit: int) -> Damage:
    def damage(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)

    return damage


def cut(size_bytes: int) -> Damage:
    return lambda file: file.write_bytes(file.read_bytes()[:size_bytes])


def replaced(other: Path) -> Damage:
    return lambda file: file.write_bytes(other.read_bytes())


def damages(sound: Sound, other: Sound, name: str, flips: int, seed: int) -> Iterator[tuple[str, Damage]]:
    """Kinds and ways of damaging the file `name`."""
    chosen, size_bytes = random.Random(seed), (sound.directory / name).stat().st_size
    used = [place for place, byte in enumerate((sound.directory / name).read_bytes()) if byte]
    for place in chosen.sample(used, min(flips, len(used))):
        yield "a bit flipped", flip(8 * place + chosen.randrange(8))
    for size in {0, 1, size_bytes // 2, size_bytes - 1, *(chosen.randrange(size_bytes) for _ in range(flips // 10))}:
        yield "the tail cut", cut(size)
    yield "missing", Path.unlink
    if (other.directory / name).exists() and not name.endswith(".sqlite"):
        yield "another collection's", replaced(other.directory / name)
    if name.endswith(".faiss"):
        target, generation = name.removesuffix(".faiss").split("-")
        twin = f"{'texts' if target == 'images' else 'images'}-{generation}.faiss"
        yield "the other target's", replaced(sound.directory / twin)


def survey(place: Path, flips: int, seed: int = 0) -> dict[str, Counter[str]]:
    """By file and kind of damage, how often what became of it."""
    sound, other = make(place / "sound"), make(place / "other", seed=1)
    found: dict[str, Counter[str]] = {}
    for name in sound.files():
        for kind, damage in damages(sound, other, name, flips, seed):
            directory = sound.copied(place / "damaged")
            damage(directory / name)
            became = outcome(directory, sound)
            if name != "catalog.sqlite":
                became += ", repaired" if repaired(directory, sound) else ", NOT REPAIRED"
            found.setdefault(f"{name}: {kind}", Counter())[became] += 1
    return found


def is_bad(became: str) -> bool:
    """Whether a promise is broken. A path that is another, in the catalog, is a wrong hit that `verify` finds."""
    return ("WRONG" in became and "found by verify" not in became) or "NOT" in became


def main(flips: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        found = survey(Path(place), int(flips))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    sys.exit(any(is_bad(became) for counts in found.values() for became in counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
