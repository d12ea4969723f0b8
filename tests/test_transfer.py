"""Vectors and rows in files make a collection, and come out of it again the same."""

from __future__ import annotations

import json
import re
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.build import Options, build
from indexer.cli import main
from search.bulk import StoredImage
from search.collection import Collection
from search.errors import BadQuery, EncoderMismatch
from search.filters import Filter
from search.query import VectorTerm
from search.searcher import Searcher
from search.types import EncoderIdentity, Root
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint

MODEL = "ViT-B-32/openai"
DIM = 512


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "imported"


@pytest.fixture
def run(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`run("import", ...)` on the collection at `place` -> exit code, stdout, stderr."""

    def command(*words: object) -> tuple[int, str, str]:
        code = main([*map(str, words), "--collection", str(place)])
        return code, *capsys.readouterr()

    return command


def vectors(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def given(folder: Path, rows: list[Any], array: np.ndarray, name: str = "image_rows.json") -> list[object]:
    """Files of rows and vectors in `folder` -> the words that name them."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "image_vectors.npy", array)
    (folder / name).write_text(json.dumps(rows))
    return ["--vectors", folder / "image_vectors.npy", "--rows", folder / name]


def contents(directory: Path) -> list[StoredImage]:
    collection = Collection.open(directory)
    return [image for batch in collection.catalog.bulk.images(3) for image in batch]


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".parquet"])
def test_an_exported_collection_imports_again_equal(
    ending: str, collection: Collection, index: Build, photos: Path, tmp_path: Path, place: Path, run: Callable
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    (photos / "red.txt").write_text("something red\nred and white\n")
    (photos / "trip" / "blue.txt").write_text("blue\n")
    if ending != ".parquet":
        paint(photos / "of\udcff.png", "yellow")  # a name that is not UTF-8
    index(photos)
    out = tmp_path / "out"
    rows = out / f"image_rows{ending}"
    assert main(["export", str(out), "--rows", str(rows), "--collection", str(collection.directory)]) == 0
    assert run("import", out, "--rows", rows)[0] == 0
    before, after = contents(collection.directory), contents(place)
    assert after == before
    assert [len(image.captions) for image in after][-3:] == [0, 2, 1]
    assert Collection.open(place).identity == collection.identity
    assert verify(Collection.open(place)).clean


def test_parquet_refuses_a_name_that_it_cannot_hold_and_leaves_nothing(
    collection: Collection, index: Build, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    paint(photos / "of\udcff.png", "yellow")
    index(photos)
    out = tmp_path / "out"
    words = ["export", str(out), "--rows", str(out / "rows.parquet"), "--collection", str(collection.directory)]
    assert main(words) == 2
    assert "not UTF-8, which parquet cannot hold" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_rows_in_another_folder_than_that_of_an_export_are_named_by_files(
    collection: Collection, index: Build, photos: Path, tmp_path: Path, place: Path, run: Callable
) -> None:
    index(photos)
    words = ["--vectors", tmp_path / "a.npy", "--rows", tmp_path / "b.json", "--encoder", tmp_path / "c.json"]
    assert main(["export", *map(str, words), "--collection", str(collection.directory)]) == 0
    assert run("import", *words)[0] == 0
    assert contents(place) == contents(collection.directory)


def test_an_import_goes_on_where_it_ended_and_writes_nothing_when_all_is_there(
    tmp_path: Path, place: Path, run: Callable
) -> None:
    files = given(tmp_path / "in", [{"path": f"{n}.jpg"} for n in range(5)], vectors(5))
    few = given(tmp_path / "few", [{"path": f"{n}.jpg"} for n in range(2)], vectors(5)[:2])
    assert run("import", *few, "--model", MODEL)[1] == "2 new\n"
    assert run("import", *files)[1] == "3 new, 2 unchanged\n"
    generation = Collection.open(place).catalog.state().generation
    assert run("import", *files)[1] == "0 new, 5 unchanged\n"
    assert Collection.open(place).catalog.state().generation == generation


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_vectors_of_any_length_are_made_unit_rows(kind: type, tmp_path: Path, place: Path, run: Callable) -> None:
    exact = vectors(4)
    rows = (exact * np.array([[0.01], [1], [3], [700]])).astype(kind)
    run("import", *given(tmp_path / "in", [{} for _ in rows], rows), "--model", MODEL)
    stored = np.stack([np.frombuffer(image.vector, "<f4") for image in contents(place)]).astype(np.float32)
    assert stored == pytest.approx(exact, abs=1e-3)
    assert verify(Collection.open(place)).clean


def test_a_row_says_as_much_as_it_knows(tmp_path: Path, place: Path, run: Callable) -> None:
    rows = [
        {"photo": "a.jpg", "caption": "A dog.", "unheard": 1},
        {"photo": None, "width": 4, "height": 3, "taken_at": "2024-06-21T18:30:00", "latitude": 48},
    ]
    code, _, said = run("import", *given(tmp_path / "in", rows, vectors(2)), "--model", MODEL)
    assert code == 0
    assert MODEL in said
    first, second = contents(place)
    assert (first.stamp.path, first.facts.caption, first.facts.width, first.digest) == ("a.jpg", "A dog.", 0, b"")
    assert (second.stamp.path, second.facts.width, second.facts.latitude) == ("image_vectors#1", 4, 48.0)
    assert asdict(second.facts)["taken_at"].isoformat() == "2024-06-21T18:30:00"


@pytest.mark.parametrize("kind", ["date32", "date64", "timestamp"])
def test_parquet_may_say_a_day(kind: str, tmp_path: Path, place: Path, run: Callable) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    _, array, *_ = given(tmp_path / "in", [{}], vectors(1))
    types = {"date32": pa.date32(), "date64": pa.date64(), "timestamp": pa.timestamp("us")}
    days = pa.array([date(2024, 6, 21)], pa.date32()).cast(types[kind])
    parquet.write_table(pa.table({"taken_at": days}), tmp_path / "rows.parquet")
    assert run("import", "--vectors", array, "--rows", tmp_path / "rows.parquet", "--model", MODEL)[0] == 0
    assert [image.facts.taken_at for image in contents(place)] == [datetime(2024, 6, 21)]


@pytest.mark.parametrize(
    ("rows", "array", "says"),
    [
        ([{}], vectors(2), "2 vectors and .* 1 rows"),
        ([{}, {}, {}], vectors(2), "2 vectors and .* 3 rows"),
        ([{"path": "a"}, {"path": "a"}], vectors(2), "row 1 has the path 'a' of a row before"),
        ([{}, {}], vectors(2) * [[1], [0]], "vector 1 is zero or not finite"),
        ([{}, {}], vectors(2) * [[np.nan], [1]], "vector 0 is zero or not finite"),
        ([{}, {}], vectors(2, dim=16), "16 dimensions, those of ViT-B-32/openai have 512"),
        ([{}, {}], np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([{}, {}], np.ones((2, 512), int), "int64 of the shape"),
        ([{}, 3], vectors(2), "row 1 is 3; a row is an object"),
        ([{}, {"width": -1}], vectors(2), "row 1: width is -1"),
        ([{}, {"path": 7}], vectors(2), "row 1: path is 7; it is a text or null"),
        ([{}, {"captions": "a"}], vectors(2), "row 1: captions is .*list of texts"),
        ([{}, {"captions": ["a"]}], vectors(2), "give their vectors, --texts FILE"),
        ([{}, {"taken_at": "noon"}], vectors(2), "row 1: taken_at is"),
        ([{}, {"digest": "ab"}], vectors(2), "row 1: digest is"),
        ([{}, {"digest": "ab" * 32}], vectors(2), "row 1: digest is given without width"),
        ([{}, {"caption": "\ud800"}], vectors(2), "row 1: caption is .* no Unicode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_do_not_fit_are_refused_before_anything_is_written(
    rows: list[Any], array: np.ndarray, says: str, tmp_path: Path, place: Path, run: Callable
) -> None:
    code, _, said = run("import", *given(tmp_path / "in", rows, array), "--model", MODEL)
    assert code == 2
    assert re.search(says, said)
    assert not place.exists()


def test_files_that_are_none_are_refused(tmp_path: Path, run: Callable) -> None:
    words = given(tmp_path / "in", [{}, {}], vectors(2))
    rows, array = Path(str(words[3])), Path(str(words[1]))
    rows.write_text('[{}, {"path": "a"')
    assert "row 1 is no whole JSON value" in run("import", *words, "--model", MODEL)[2]
    rows.write_bytes(b'[{"path": "\xff"}]')
    assert "is not UTF-8" in run("import", *words, "--model", MODEL)[2]
    rows.unlink()
    assert "cannot be read: No such file" in run("import", *words, "--model", MODEL)[2]
    assert "rows are read and written as" in run("import", *words[:2], "--rows", "a.csv", "--model", "hf-hub:a/b")[2]
    array.write_bytes(array.read_bytes()[:-9])
    assert "no whole .npy file" in run("import", *words, "--model", MODEL)[2]
    assert "name the folder" in run("import", *words[:2])[2]


@pytest.mark.parametrize("lines", ["[{{}}, {}]", "{{}}\n{}\n"], ids=["a list", "lines"])
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("[" * 200_000, r'row 1, "\[+, cannot be read: it is nested too deep'),
        ('{"path": ' * 200_000, "row 1, .* cannot be read: it is nested too deep"),
        ('{"width": ' + "9" * 5_000 + "}", "row 1, .*9999, .* or has a number of over 4,300 digits"),
        ('{"width": ' + "9" * 4_000 + "}", "row 1: width is 9{40}; it is from 0"),
        ("[" * 500 + "]" * 500, r"row 1 is \[{40}; a row is"),
        ('{"path": ' + "[" * 500 + "]" * 500 + "}", r"row 1: path is \[{40}; it is a text"),
    ],
    ids=["lists", "objects", "digits", "a large number", "lists in place of a row", "lists in place of a path"],
)
def test_a_row_beyond_what_json_can_be_read_is_told_in_a_line(
    lines: str, row: str, says: str, tmp_path: Path, place: Path, run: Callable
) -> None:
    words = given(tmp_path / "in", [], vectors(2), "rows.jsonl")
    Path(str(words[3])).write_text(lines.format(row))
    code, _, said = run("import", *words, "--model", MODEL)
    assert code == 2
    *_, line = said.splitlines()
    assert re.fullmatch(f"error: {tmp_path}/in/rows.jsonl: {says}.*", line)
    assert len(line) < 200 + len(str(tmp_path))
    assert not place.exists()


def as_parquet(folder: Path, table: dict[str, Any], array: np.ndarray) -> list[object]:
    """As `given`, of a table's columns."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    words = given(folder, [], array)
    parquet.write_table(pa.table(table), folder / "rows.parquet")
    return [*words[:3], folder / "rows.parquet", "--model", MODEL]


def test_parquet_is_counted_before_its_rows_are_read(tmp_path: Path, place: Path, run: Callable) -> None:
    words = as_parquet(tmp_path / "in", {"width": [-1, 1, 1]}, vectors(2))
    assert "has 2 vectors and" in run("import", *words)[2]
    assert not place.exists()


def test_columns_of_parquet_that_say_nothing_are_not_read(tmp_path: Path, place: Path, run: Callable) -> None:
    pa = pytest.importorskip("pyarrow")
    unread = pa.array([2**62] * 100, pa.timestamp("us"))  # no date of Python's
    words = as_parquet(tmp_path / "in", {"seen": unread, "photo": [f"{n}.jpg" for n in range(100)]}, vectors(100))
    assert run("import", *words)[0] == 0
    assert [image.stamp.path for image in contents(place)] == [f"{n}.jpg" for n in range(100)]
    only = as_parquet(tmp_path / "only", {"seen": unread}, vectors(100))
    assert run("import", *only)[1] == "100 new\n"
    code, _, said = run("import", *as_parquet(tmp_path / "read", {"taken_at": unread}, vectors(100)))
    assert code == 2
    assert "rows.parquet is no readable parquet file: date value out of range" in said


def test_a_small_parquet_of_long_texts_takes_little_memory(tmp_path: Path, place: Path, run: Callable) -> None:
    pa = pytest.importorskip("pyarrow")
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["x" * 200_000])
    words = as_parquet(tmp_path / "in", {"caption": texts}, vectors(2_000))
    tracemalloc.start()
    try:
        code, _, said = run("import", *words)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code == 2
    assert "row 0: caption: 200,000 characters are over the limit of 100,000; shorten it" in said
    assert most < 60_000_000


def test_it_must_be_said_whose_vectors_they_are(tmp_path: Path, run: Callable, encoder: ColorEncoder) -> None:
    files = given(tmp_path / "in", [{}, {}], vectors(2))
    assert "--model NAME" in run("import", *files)[2]
    assert "name the weights too, one of ViT-B-32/openai" in run("import", *files, "--model", "ViT-B-32/openia")[2]
    said = tmp_path / "encoder.json"
    said.write_text("[]")
    assert "whose vectors" in run("import", *files, "--encoder", said)[2]
    assert run("import", *files, "--model", MODEL)[0] == 0
    said.write_text(encoder.identity.to_json())
    code, _, error = run("import", *files, "--encoder", said)
    assert code == 2
    assert f"holds vectors of {MODEL} (weights not known, 512 dimensions)" in error


def test_a_model_known_by_name_is_known_wholly_once_a_build_loads_it(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    identity = encoder.identity
    claim = EncoderIdentity.claim(identity.model, identity.dim)
    collection.catalog.adopt(claim)
    collection.identity = claim
    collection.require(identity)
    with pytest.raises(EncoderMismatch):
        collection.require(EncoderIdentity.claim("another", identity.dim))
    index(photos)
    assert Collection.open(collection.directory).identity == identity
    with pytest.raises(EncoderMismatch):
        collection.require(EncoderIdentity(identity.model, "a", "0" * 64, identity.dim, "p"))


def test_imported_rows_stay_whatever_else_is_built(
    collection: Collection, index: Build, photos: Path, tmp_path: Path, encoder: ColorEncoder
) -> None:
    said = tmp_path / "encoder.json"
    said.write_text(encoder.identity.to_json())
    rows = [{"path": "/elsewhere/a.jpg"}, {"path": "b.jpg"}, {}]
    files = given(tmp_path / "in", rows, encoder.encode_texts(["red", "green", "blue"]))
    into = ["--encoder", said, "--collection", collection.directory]
    assert main(["import", *map(str, [*files, *into])]) == 0
    index(photos)
    index(photos)
    assert collection.catalog.counts()["images"] == 6
    assert verify(collection).clean
    hits = Searcher(collection, lambda: encoder).by_text("red", k=6)
    assert {str(hit.path) for hit in hits} >= {"/elsewhere/a.jpg", "b.jpg", "image_vectors#2"}


def test_a_row_with_a_digest_takes_the_file_that_a_build_finds(
    collection: Collection,
    index: Build,
    photos: Path,
    tmp_path: Path,
    place: Path,
    run: Callable,
    encoder: ColorEncoder,
) -> None:
    index(photos)
    out = tmp_path / "out"
    main(["export", str(out), "--collection", str(collection.directory)])
    rows = json.loads((out / "image_rows.json").read_text())
    rows = [{**row, "path": f"set/{number}"} for number, row in enumerate(rows)]
    (out / "image_rows.json").write_text(json.dumps(rows))
    run("import", out)
    there, encoded = Collection.open(place), encoder.encoded
    report = build(
        there,
        [Root(str(photos))],
        lambda: encoder,
        options=Options(),
        progress=lambda *_: None,
        stop=threading.Event(),
    )
    assert (report.moved, report.new, encoder.encoded) == (3, 0, encoded)


def test_the_real_vectors_find_what_their_captions_say(shared: Path, place: Path, run: Callable) -> None:
    space = shared / "data" / "clip_space"
    words = ["--vectors", space / "image_vectors.npy", "--rows", space / "image_rows.json", "--model", MODEL]
    assert run("import", *words)[0] == 0
    names = json.loads((space / "text_rows.json").read_text())
    query = np.load(space / "text_vectors.npy")[names.index("a dog")].astype(np.float32)
    collection = Collection.open(place)
    searcher = Searcher(collection, lambda: pytest.fail("no model is needed"))
    hits = searcher.page([VectorTerm(query)], k=50).hits
    named = ["dog" in (hit.facts.caption or "").lower() for hit in hits]
    assert sum(named[:10]) / 10 == 1.0
    assert sum(named) / 50 >= 0.9
    with pytest.raises(BadQuery, match="no image has the id 1001"):
        searcher.by_id(1001)


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson"])
def test_json_lines_are_lines_of_json(
    ending: str, collection: Collection, index: Build, photos: Path, tmp_path: Path
) -> None:
    index(photos)
    rows = tmp_path / f"rows{ending}"
    words = ["export", str(tmp_path / "out"), "--rows", str(rows), "--collection", str(collection.directory)]
    assert main(words) == 0
    named = [Path(json.loads(line)["path"]).name for line in rows.read_text().splitlines()]
    assert named == ["green.bmp", "red.png", "blue.webp"]


def test_an_imported_format_is_found_by_any_of_its_names(tmp_path: Path, place: Path, run: Callable) -> None:
    rows = [{"path": f"{name}.x", "format": name} for name in ("jpeg", "JPG", "png")]
    assert run("import", *given(tmp_path / "in", rows, vectors(3)), "--model", MODEL)[0] == 0
    catalog = Collection.open(place).catalog
    assert catalog.choices().formats == ("JPEG", "PNG")
    assert len(catalog.matching(Filter.parse("format:jpg"), "images")) == 2
