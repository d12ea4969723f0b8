"""Embedding sets in the layout of clip-retrieval make collections, and come out of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer.cli import main
from indexer.export import export_set
from indexer.layouts import shards_in
from indexer.transfer import check, import_files
from search.bulk import StoredImage
from search.collection import Collection
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, build_from
from tests.test_transfer import DIM, MODEL, contents, place, run, vectors

pyarrow = pytest.importorskip("pyarrow", reason="the rows of embedding sets are parquet: pip install pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

_ = place, run  # fixtures

DESCRIPTION = 0x010E
"""Of EXIF: the caption inside a picture."""

CAPTIONS = ["a dog", None, "a cat", "", "a dog"]
"""Of the five rows of a shard."""


def write_shard(folder: Path, number: str, rows: int = 5, *, texts: bool = True, **columns: list[Any]) -> np.ndarray:
    """A shard as clip-retrieval writes one, of float16; returns the images' vectors and, beside them, the texts'."""
    seed = int(number)
    both = np.concatenate([vectors(rows, seed), vectors(rows, seed + 100)], axis=1).astype(np.float16)
    table: dict[str, list[Any]] = {"image_path": [f"{number}{row:04}" for row in range(rows)]} | columns
    for part, array in (("img_emb", both[:, :DIM]), ("text_emb", both[:, DIM:])):
        (folder / part).mkdir(parents=True, exist_ok=True)
        np.save(folder / part / f"{part}_{number}.npy", array)
    if not texts:
        (folder / "text_emb" / f"text_emb_{number}.npy").unlink()
    (folder / "metadata").mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(table), folder / "metadata" / f"metadata_{number}.parquet")
    return both


def test_the_shards_of_a_public_set_are_a_collection(tmp_path: Path, place: Path, run: Callable) -> None:
    folder = tmp_path / "set"
    sizes = {"width": [640.0, None, float("nan"), 3.0, 4.0], "height": [480.0, None, float("nan"), 3.0, 4.0]}
    others = {"url": ["https://example.org/a.jpg"] * 5, "NSFW": ["UNLIKELY"] * 5, "similarity": [0.3] * 5}
    ten = write_shard(folder, "10", caption=CAPTIONS, **sizes, **others)
    two = write_shard(folder, "02", caption=CAPTIONS, **sizes, **others)
    code, out, err = run("import", folder, "--model", MODEL)
    assert (code, "10 new" in out, "10 rows are sound" in err) == (0, True, True)
    images = contents(place)
    assert [image.stamp.path for image in images] == [f"{shard}{row:04}" for shard in ("02", "10") for row in range(5)]
    stored = np.stack([Collection.open(place).catalog.stored("images", [id_])[id_] for id_ in range(1, 11)])
    assert np.allclose(stored, np.concatenate([two, ten])[:, :DIM], atol=1e-3)
    found = [[text for text, _ in image.captions] for image in images]
    assert found == [["a dog"], [], ["a cat"], [], ["a dog"]] * 2
    texts = Collection.open(place).catalog.stored("texts", range(1, 7))
    assert np.allclose(np.stack(list(texts.values())), np.concatenate([two, ten])[[0, 2, 4, 5, 7, 9], DIM:], atol=1e-3)
    assert [(image.facts.width, image.facts.height) for image in images[:4]] == [(640, 480), (0, 0), (0, 0), (3, 3)]
    assert verify(Collection.open(place)).clean
    assert "10 unchanged" in run("import", folder, "--model", MODEL)[1]


def test_captions_without_vectors_are_shown_and_not_searched(tmp_path: Path, place: Path, run: Callable) -> None:
    write_shard(tmp_path / "set", "0", texts=False, caption=CAPTIONS)
    assert run("import", tmp_path / "set", "--model", MODEL)[0] == 0
    images = contents(place)
    assert [image.facts.caption for image in images] == ["a dog", None, "a cat", None, "a dog"]
    assert not any(image.captions for image in images)


def test_rows_may_name_nothing_but_their_images(tmp_path: Path, place: Path, run: Callable) -> None:
    write_shard(tmp_path / "set", "0", texts=False)
    assert run("import", tmp_path / "set", "--model", MODEL)[0] == 0
    assert contents(place)[0].stamp.path == "00000"


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("metadata/metadata_1.parquet", "has no metadata/metadata_1.parquet"),
        ("text_emb/text_emb_0.npy", "has no text_emb/text_emb_0.npy"),
        ("img_emb/img_emb_1.npy", "has no img_emb/img_emb_1.npy"),
    ],
)
def test_a_shard_without_a_part_is_named(lacking: str, said: str, tmp_path: Path, place: Path, run: Callable) -> None:
    for number in ("0", "1"):
        write_shard(tmp_path, number, caption=CAPTIONS)
    (tmp_path / lacking).unlink()
    code, _, err = run("import", tmp_path, "--model", MODEL)
    assert code == 2
    assert said in err
    assert not Collection.exists(place)


def test_a_shard_of_uneven_parts_and_a_path_in_two_shards_are_refused(
    tmp_path: Path, place: Path, run: Callable
) -> None:
    write_shard(tmp_path, "0", caption=CAPTIONS)
    np.save(tmp_path / "text_emb" / "text_emb_0.npy", vectors(6).astype(np.float16))
    assert "text_emb_0.npy has 6 vectors for 5 rows" in run("import", tmp_path, "--model", MODEL)[2]
    np.save(tmp_path / "text_emb" / "text_emb_0.npy", vectors(4).astype(np.float16))
    assert "text_emb_0.npy has 4 vectors, and" in run("import", tmp_path, "--model", MODEL)[2]
    write_shard(tmp_path, "0", caption=CAPTIONS)
    write_shard(tmp_path, "1", caption=CAPTIONS, image_path=["00000", *"bcde"])
    assert "metadata_1.parquet: row 0 has the path '00000'" in run("import", tmp_path, "--model", MODEL)[2]
    assert "leave --texts out" in run("import", tmp_path, "--texts", tmp_path, "--model", MODEL)[2]
    assert not Collection.exists(place)


@pytest.fixture
def captioned(collection: Collection, index: Build, photos: Path) -> Collection:
    """Three images; two captions for one, one for another, none for the last."""
    (photos / "red.txt").write_text("something red\nred and white\n")
    (photos / "trip" / "blue.txt").write_text("blue\n")
    index(photos)
    return collection


def test_a_collection_goes_out_as_a_set_and_comes_in_again(captioned: Collection, tmp_path: Path) -> None:
    counts = export_set(captioned, tmp_path / "set", progress=lambda _: None, shard_rows=2)
    assert counts == {"images": 3, "texts": 2, "left_out": 1}
    again = imported(tmp_path, captioned)
    before, after = contents(captioned.directory), contents(again.directory)
    assert [with_a_caption(image) for image in before] == after
    assert verify(again).clean


def imported(folder: Path, before: Collection) -> Collection:
    """A collection of the embedding set in `folder`."""
    again = Collection.create(folder / "again", before.identity)
    shards = shards_in(folder / "set")
    assert check(shards, 4, again.catalog) == before.catalog.counts()["images"]
    with again.writing():
        import_files(again, shards, progress=lambda _: None, stop=threading.Event())
    return again


def with_a_caption(image: StoredImage) -> StoredImage:
    """As a set holds it. Of captions that are left out it does not say that their files were read."""
    stamp = image.stamp if len(image.captions) <= 1 else replace(image.stamp, captions_stamp=0)
    return image._replace(captions=image.captions[:1], stamp=stamp)


def test_a_build_reads_the_captions_that_a_set_left_out(
    captioned: Collection, index: Build, encoder: ColorEncoder, photos: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = "white inside"
    Image.new("RGB", (24, 16), "white").save(photos / "white.jpg", exif=exif)
    (photos / "white.txt").write_text("white beside\n")
    index(photos)
    export_set(captioned, tmp_path / "set", progress=lambda _: None)
    again = imported(tmp_path, captioned)
    report = build_from(again, encoder, photos)
    assert (report.recaptioned, report.unchanged, report.encoded) == (2, 2, 0)
    before, after = contents(captioned.directory), contents(again.directory)
    assert after == before
    assert [text for text, _ in after[-1].captions] == ["white inside", "white beside"]


def test_an_empty_collection_is_a_set_without_shards(collection: Collection, tmp_path: Path) -> None:
    counts = export_set(collection, tmp_path / "set", progress=lambda _: None)
    assert counts == {"images": 0, "texts": 0, "left_out": 0}
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["encoder.json"]


def test_a_set_reads_as_clip_retrieval_reads_one(
    captioned: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    words = ["export", str(out), "--layout", "clip-retrieval", "--collection", str(captioned.directory)]
    assert main(words) == 0
    assert "3 images, 2 of them with a caption, are in" in capsys.readouterr().out
    table = parquet.read_table(out / "metadata" / "metadata_0.parquet").to_pydict()
    images, texts = (np.load(out / part / f"{part}_0.npy") for part in ("img_emb", "text_emb"))
    expected = contents(captioned.directory)
    assert table["image_path"] == [image.stamp.path for image in expected]
    assert table["caption"] == [image.captions[0][0] if image.captions else None for image in expected]
    assert table["width"] == [24, 24, 24]
    assert len(images) == len(texts) == 3
    assert [row.tobytes() for row in images] == [image.vector for image in expected]
    without = table["caption"].index(None)
    assert not texts[without].any()
    assert np.allclose(np.linalg.norm(np.delete(texts, without, axis=0).astype(float), axis=1), 1, atol=1e-3)
    assert main(words) == 2
    assert "holds an embedding set already" in capsys.readouterr().err
    for file in out.glob("*/*"):
        file.unlink()
    assert main(words) == 0, "empty folders are what an export that was stopped leaves"
    assert main([*words[:1], *words[2:]]) == 2
    assert "give the folder alone" in capsys.readouterr().err
