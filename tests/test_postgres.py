"""The catalog in a PostgreSQL server: where it is said to be, who writes to it, and what a dead server leaves."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.build import Options, build
from indexer.cli import main
from search.catalog import Catalog
from search.changes import Caption, Changes, Failure, FileStamp, NewImage
from search.collection import Collection
from search.errors import CollectionBusy, CollectionError
from search.settings import PROJECT
from search.types import Facts, Root
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from tests.servers import Postgres

VECTOR = np.array([1, 0, 0, 0], np.float32)


@pytest.fixture
def storage() -> str:
    return "postgres"


def test_a_build_keeps_its_catalog_where_it_is_told_and_all_verbs_find_it_there(
    postgres: Postgres, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, url = tmp_path / "collection", postgres.new_catalog()
    named = ["--collection", str(directory)]
    options = ["--model", "bundled", *named]
    assert main(["build", str(drawings / "odd"), *options, "--catalog", url]) == 0
    assert (directory / "catalog.url").read_text() == f"{url}\n"
    assert not (directory / "catalog.sqlite").exists()
    capsys.readouterr()
    assert main(["update", *named]) == 0
    assert "0 new" in capsys.readouterr().out
    assert main(["verify", *named]) == 0
    assert main(["status", *named, "--json"]) == 0
    assert '"catalog": 0' not in capsys.readouterr().out
    assert main(["build", str(drawings / "odd"), *options, "--catalog", postgres.new_catalog()]) == 2
    assert "leave --catalog out to go on with it" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["mysql://db/photos", "photos", "postgresql+asyncpg://db/photos"])
def test_what_is_no_url_of_a_catalog_is_refused_with_one_that_is(tmp_path: Path, url: str) -> None:
    with pytest.raises(CollectionError, match=r"write postgresql\+psycopg://user@host/database"):
        Collection.create(tmp_path, ColorEncoder.identity, catalog=url)
    assert not Collection.exists(tmp_path)


@pytest.mark.parametrize("url", ["postgresql://me:secret@db/photos", "postgresql+psycopg://db/photos?password=secret"])
def test_a_password_is_not_kept(tmp_path: Path, url: str) -> None:
    with pytest.raises(CollectionError, match=r"PGPASSWORD or in ~/\.pgpass") as refused:
        Collection.create(tmp_path, ColorEncoder.identity, catalog=url)
    assert "secret" not in str(refused.value)


def test_without_the_driver_the_error_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from indexer.cli import main\n"
        "sys.exit(main(['status', '--collection', sys.argv[1]]))\n"
    )
    (tmp_path / "catalog.url").write_text("postgresql+psycopg://nowhere/photos\n")
    done = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'text-image-search[postgres]'" in done.stderr


def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://postgres@/postgres?host={tmp_path}"
    (tmp_path / "catalog.url").write_text(f"{url}\n")
    with pytest.raises(CollectionError, match=r"is out of reach: .*; when the server is in order") as refused:
        Collection.open(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_second_collection_does_not_take_a_catalog_that_is_in_use(
    collection: Collection, index: Build, photos: Path, catalog_url: str, tmp_path: Path
) -> None:
    index(photos)
    with pytest.raises(CollectionError, match=r"there is a catalog at .* already"):
        Collection.create(tmp_path / "second", collection.identity, catalog=catalog_url)
    assert not Collection.exists(tmp_path / "second")


def test_an_interrupted_creation_is_gone_on_with(tmp_path: Path, catalog_url: str, encoder: ColorEncoder) -> None:
    Catalog.create(catalog_url, encoder.identity)  # what comes next is the file that says where it is
    with closing(Collection.create(tmp_path, encoder.identity, catalog=catalog_url)) as collection:
        assert collection.catalog.counts() == {"images": 0, "texts": 0, "failures": 0}


def test_one_machine_writes_at_a_time(collection: Collection, catalog_url: str, tmp_path: Path) -> None:
    other = tmp_path / "on another machine"
    other.mkdir()
    (other / "catalog.url").write_text(catalog_url)
    with closing(Collection.open(other)) as second:
        busy = pytest.raises(CollectionBusy, match="is being written by image search, process")
        with collection.writing(), busy, second.writing():
            pass
        with second.writing():
            second.catalog.follow([Root("/photos")])
    assert collection.catalog.roots() == [Root("/photos")]


def test_texts_of_any_length_and_with_any_character_are_kept(collection: Collection) -> None:
    noise = "".join(map(chr, np.random.default_rng(0).integers(0x4E00, 0x9FFF, 2_000)))
    captions = [Caption(text, VECTOR) for text in (noise, "a\0b", "日本 🐶")]
    facts = Facts(1, 1, "JPEG", datetime(1, 1, 1), camera="c\0d", latitude=-90.0, longitude=180.0)
    image = NewImage(FileStamp("/a\x1a.jpg", 2**62, -1, 3), bytes(32), facts, VECTOR, captions, b"features")
    reason = Failure(FileStamp("/b", 1, 1), "\0 bad", 2**40, datetime(9999, 12, 31))
    collection.catalog.apply(Changes(added=[image], failed=[reason]))
    ((row, record),) = collection.catalog.images([1]).items()
    assert record.facts == Facts(1, 1, "JPEG", datetime(1, 1, 1), camera="c\ufffdd", latitude=-90.0, longitude=180.0)
    assert collection.catalog.captions([row]) == {row: [noise, "a\ufffdb", "日本 🐶"]}
    assert collection.catalog.text_vectors([noise])[noise] == pytest.approx(VECTOR)
    assert collection.catalog.features.of([row]) == {row: b"features"}
    assert [why for _, why, _ in collection.catalog.failures()] == ["\ufffd bad"]


class Disturbed(ColorEncoder):
    """Something happens when the second batch is encoded."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens = happens

    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        for number, rows in enumerate(super().encode_batches(batches)):
            if number == 1:
                self._happens()
            yield rows


@pytest.mark.parametrize("comes_back", [False, True], ids=["stays away", "comes back at once"])
def test_a_build_whose_server_is_killed_fails_in_one_line_and_the_next_one_finishes(
    postgres: Postgres, collection: Collection, index: Build, tmp_path: Path, comes_back: bool
) -> None:
    for number in range(12):
        paint(tmp_path / "photos" / f"{number}.png", "red", (10 + number, 9))

    def happens() -> None:
        postgres.kill()
        if comes_back:
            postgres.start_again()

    encoder = Disturbed(happens)
    try:
        with pytest.raises(CollectionError, match="is out of reach") as refused, collection.writing():
            build(
                collection,
                [Root(str(tmp_path / "photos"))],
                lambda: encoder,
                options=Options(batch_size=4),
                progress=lambda *_: None,
                stop=threading.Event(),
            )
        assert "\n" not in str(refused.value)
    finally:
        postgres.start_again()
    assert collection.catalog.counts()["images"] == 4
    report = index(tmp_path / "photos")
    assert (report.new, report.unchanged) == (8, 4)
    assert verify(collection).clean
