"""What is done to a collection, to be disturbed: how it begins, the run, and what must be true of it at any moment."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from indexer.build import Options, build
from indexer.cli import main as command
from indexer.report import Report
from search.classify import Classifier
from search.collection import Collection
from search.query import VectorTerm
from search.searcher import Searcher
from search.types import IndexPolicy, Logits, Root
from search.verify import verify
from search.vocabulary import Vocabulary
from tests.colors import ColorEncoder

OLD = Path(__file__).with_name("old")
"""A small collection of every schema, by its number."""

Reporting = Callable[[int], None]
"""Told how many photos are safe."""


@dataclass(frozen=True)
class Scenario:
    """`prepare` fills a folder; `run` does what may be disturbed there, and the same again goes on from any state."""

    name: str
    prepare: Callable[[Path], object]
    run: Callable[[Path, Reporting], object]


def paint(photos: Path, numbers: range, seed: int = 0) -> None:
    """A picture of one color for each number, with a caption; another seed paints other colors."""
    photos.mkdir(exist_ok=True)
    for number in numbers:
        color = np.random.default_rng([seed, number]).integers(0, 256, 3)
        Image.new("RGB", (8 + number, 9 + seed), tuple(map(int, color))).save(photos / f"{number:03}.png")
        (photos / f"{number:03}.txt").write_text(f"red {number} {seed}\n")


def opened(place: Path) -> Collection:
    directory = place / "collection"
    if Collection.exists(directory):
        return Collection.open(directory)
    return Collection.create(directory, ColorEncoder().identity)


def update(place: Path, report: Reporting = lambda _: None, keypoints: int = 0) -> None:
    """Build from the photos, published after every batch."""
    with closing(opened(place)) as collection, collection.writing():

        def progress(_: Report, done: int, total: int) -> None:
            report(safe(place, collection))

        collection.catalog.follow([Root(str(place / "photos"))])
        build(
            collection,
            [Root(str(place / "photos"))],
            ColorEncoder,
            options=Options(batch_size=4, workers=1, keypoints=keypoints, publish_seconds=0),
            progress=progress,
            stop=threading.Event(),
        )


def safe(place: Path, collection: Collection) -> int:
    """How many rows are those of the photos as these are now: no run may lose them."""
    rows = collection.catalog.known_files(str(place / "photos"))
    files = [(path, path.stat()) for path in (place / "photos").glob("*.png")]
    held = [(rows[str(path)], status) for path, status in files if str(path) in rows]
    return sum((row.size_bytes, row.mtime_ns) == (status.st_size, status.st_mtime_ns) for row, status in held)


def built(place: Path) -> None:
    paint(place / "photos", range(10))
    update(place)


def changed(place: Path) -> None:
    """Pictures that came, went, moved and changed since the build; captions too."""
    built(place)
    photos = place / "photos"
    paint(photos, range(10, 14))
    paint(photos, range(2), seed=1)
    (photos / "005.png").rename(photos / "moved.png")
    for name in ("006.png", "006.txt"):
        (photos / name).unlink()
    (photos / "007.txt").write_text("green\nblue\n")


def run_command(*words: object) -> None:
    code = command([str(word) for word in words])
    assert code in (0, 1), f"{words} ended with {code}"


def tag(place: Path, _: Reporting) -> None:
    encoder = ColorEncoder()
    labels = Classifier(("warm", "cold"), encoder.encode_texts(["red", "blue"]), Logits(20.0))
    with closing(opened(place)) as collection, collection.writing():
        collection.tag(Vocabulary(labels, np.full(2, 0.6, np.float32), np.array([False, True])))


def exported(place: Path) -> None:
    """A collection, and the export of one with more images."""
    built(place)
    other = place / "other"
    other.mkdir()
    paint(other / "photos", range(20, 30))
    update(other)
    run_command("export", place / "out", "--collection", other / "collection")
    rows = json.loads((place / "out" / "image_rows.json").read_text())
    for number, row in enumerate(rows):
        row["path"] = f"imported/{number}"
    (place / "out" / "image_rows.json").write_text(json.dumps(rows))
    shutil.rmtree(other)


def broken(place: Path) -> None:
    """A collection whose index is lost and of which a vector is damaged."""
    built(place)
    for file in (place / "collection").glob("*.faiss"):
        file.unlink()
    with closing(sqlite3.connect(place / "collection" / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE images SET vector = zeroblob(8) WHERE id = 3")


def publish(place: Path, _: Reporting) -> None:
    with closing(opened(place)) as collection, collection.writing():
        collection.publish_if_changed(IndexPolicy("exact", 0.5))


def remove(place: Path, _: Reporting) -> None:
    names = [str(place / "photos" / f"{number:03}.png") for number in range(3)]
    run_command("remove", *names, "--collection", place / "collection")


def import_(place: Path, _: Reporting) -> None:
    run_command("import", place / "out", "--collection", place / "collection")


def repair(place: Path, _: Reporting) -> None:
    run_command("verify", "--repair", "--collection", place / "collection")


def snapshot(place: Path, _: Reporting) -> None:
    run_command("export", place / "backup", "--snapshot", "--collection", place / "collection")


def restore(place: Path, _: Reporting) -> None:
    """Into a new directory; of what was there before the backup remains."""
    if not Collection.exists(place / "collection"):
        run_command("import", place / "backup", "--collection", place / "collection")


def backed_up(place: Path) -> None:
    built(place)
    tag(place, lambda _: None)
    snapshot(place, lambda _: None)
    shutil.rmtree(place / "collection")


def unpack(schema: str, directory: Path) -> Path:
    """The collection that a release with this schema made; its catalog is kept as text."""
    shutil.copytree(OLD / schema, directory)
    with closing(sqlite3.connect(directory / "catalog.sqlite")) as connection:
        connection.executescript((directory / "catalog.sql").read_text())
        connection.execute("PRAGMA journal_mode=WAL")
    (directory / "catalog.sql").unlink()
    return directory


def old(place: Path) -> None:
    """Its folder is not followed: the files are long gone."""
    directory = unpack("0001", place / "collection")
    with closing(sqlite3.connect(directory / "catalog.sqlite")) as connection, connection:
        connection.execute("DELETE FROM roots")


def migrate(place: Path, _: Reporting) -> None:
    opened(place).close()


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("build", lambda place: paint(place / "photos", range(10)), update),
        Scenario("update", changed, update),
        Scenario("features", built, lambda place, report: update(place, report, keypoints=8)),
        Scenario("publish", built, publish),
        Scenario("remove", built, remove),
        Scenario("import", exported, import_),
        Scenario("tag", built, tag),
        Scenario("repair", broken, repair),
        Scenario("migrate", old, migrate),
        Scenario("snapshot", built, snapshot),
        Scenario("restore", backed_up, restore),
    )
}


def contents(place: Path) -> list[Any]:
    """All that a collection holds, without ids, times and counters."""
    with closing(Collection.open(place / "collection")) as collection:
        catalog = collection.catalog
        known = catalog.known_files("/") | catalog.known_files("imported")
        tags = catalog.tags.of([row.id for row in known.values()])
        rows = [
            [
                image.stamp.path.removeprefix(f"{place}/"),
                image.stamp.size_bytes,
                image.digest.hex(),
                _short(image.vector),
                [[text, _short(vector)] for text, vector in image.captions],
                [tag.name for tag in tags.get(known[image.stamp.path].id, ())],
            ]
            for images in catalog.bulk.images(100)
            for image in images
        ]
        features = catalog.features.totals().images
        return [sorted(rows), [path for path, _, _ in catalog.failures()], features]


def _short(vector: bytes) -> str:
    return hashlib.sha256(vector).hexdigest()[:12]


def check_readable(place: Path, reported: int, finished: bool = False) -> None:
    """A collection that can be searched, in which nothing is damaged and what was reported is there.

    Not finished it may be missing, or its index be older than its rows.
    """
    directory = place / "collection"
    if not Collection.exists(directory):
        assert not finished and not reported, "the collection is gone"
        return
    with closing(Collection.open(directory)) as collection:
        state, held = collection.catalog.state(), safe(place, collection)
        assert held >= reported, f"{reported} images were reported, {held} are there"
        findings = verify(collection)
        assert not findings.catalog, findings
        if finished:
            assert findings.clean and state.changes == state.published_changes, findings
        lost = any("has lost its index" in problem for problem in findings.indexes)  # before it is repaired
        if not lost:
            (red,) = ColorEncoder().encode_texts(["red"])
            for hit in Searcher(collection, ColorEncoder).search([VectorTerm(red)], k=5):
                (vector,) = collection.catalog.stored("images", [hit.id]).values()
                assert abs(float(vector.astype(np.float32) @ red) - hit.score) < 1e-3
