"""Queries of every kind against exact answers in the color space."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.collection import Collection
from search.errors import BadPicture, BadQuery, EncoderMismatch
from search.query import IdTerm, TextTerm
from search.searcher import Searcher
from search.types import EncoderIdentity, Facts
from tests.colors import COLORS, ColorEncoder
from tests.conftest import Build, paint

pytestmark = pytest.mark.storages


def names(hits: list) -> list[str]:
    return [hit.path.name for hit in hits]


@pytest.fixture(autouse=True)
def indexed(photos: Path, index: Build) -> None:
    (photos / "red.txt").write_text("something red\nred and white\n")
    (photos / "green.txt").write_text("green all over\n")
    index(photos)


def test_a_text_finds_the_picture_it_describes(searcher: Searcher) -> None:
    assert names(searcher.by_text("a blue thing"))[0] == "blue.webp"


def test_a_picture_finds_its_like_by_path_and_by_bytes(searcher: Searcher, tmp_path: Path) -> None:
    query = paint(tmp_path / "query.png", "green", (9, 7))
    assert names(searcher.by_image(query))[0] == "green.bmp"
    assert searcher.by_image(query.read_bytes()) == searcher.by_image(query)


def test_an_image_of_the_collection_finds_its_neighbours_without_itself(searcher: Searcher) -> None:
    red = searcher.by_text("red")[0]
    assert sorted(names(searcher.by_id(red.id))) == ["blue.webp", "green.bmp"]


def test_a_vector_of_any_length_finds_its_neighbours(searcher: Searcher, encoder: ColorEncoder) -> None:
    vector = 7 * encoder.encode_texts(["blue"])[0]
    assert searcher.by_vector(vector) == searcher.by_text("blue")


def test_a_picture_finds_texts_and_each_knows_its_image(searcher: Searcher, photos: Path) -> None:
    hits = searcher.by_image(photos / "red.png", target="texts")
    assert [hit.text for hit in hits] == ["something red", "red and white", "green all over"]
    assert hits[0].path == photos / "red.png"
    assert hits[0].image_id == searcher.by_text("red")[0].id


def test_terms_are_added_up(searcher: Searcher, photos: Path, index: Build) -> None:
    paint(photos / "yellow.png", "yellow")
    index(photos)
    assert names(searcher.search([TextTerm("red"), TextTerm("green")]))[0] == "yellow.png"


def test_scores_are_the_cosines_of_the_stored_vectors(searcher: Searcher, collection: Collection) -> None:
    query = searcher.embedder.embed(TextTerm("cyan"))
    hits = searcher.by_text("cyan")
    stored = [collection.catalog.stored("images", [hit.id])[hit.id] for hit in hits]
    assert [hit.score for hit in hits] == pytest.approx([float(query @ vector) for vector in stored], abs=1e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_hits_carry_the_facts_of_their_row(searcher: Searcher) -> None:
    facts = searcher.by_text("blue", k=1)[0].facts
    assert (facts.width, facts.height, facts.format) == (24, 16, "WEBP")


def test_k_hits_come_even_when_nearer_rows_are_gone_from_the_catalog(
    searcher: Searcher, collection: Collection, photos: Path, index: Build
) -> None:
    from search.changes import Changes

    for number in range(20):
        paint(photos / f"red{number}.png", "red", (10 + number, 10))
    index(photos)
    reds = [hit.id for hit in searcher.by_text("red", k=21)]
    collection.catalog.apply(Changes(removed=reds))
    assert sorted(names(searcher.by_text("red", k=2))) == ["blue.webp", "green.bmp"]


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_k_out_of_range_is_refused_with_the_range(searcher: Searcher, k: int) -> None:
    with pytest.raises(BadQuery, match="from 1 to 1000"):
        searcher.by_text("red", k=k)


def test_what_cannot_be_looked_for_is_refused_with_what_can(searcher: Searcher) -> None:
    with pytest.raises(BadQuery, match="target is 'both'; choose one of images, texts"):
        searcher.by_text("red", target="both")  # type: ignore[arg-type]


def test_k_beyond_the_collection_gives_all_of_it(searcher: Searcher) -> None:
    assert len(searcher.by_text("red", k=1000)) == 3


def test_an_empty_text_an_unknown_id_and_a_wrong_vector_are_refused(searcher: Searcher) -> None:
    with pytest.raises(BadQuery, match="empty text"):
        searcher.by_text("  ")
    with pytest.raises(BadQuery, match="no image has the id 999"):
        searcher.by_id(999)
    with pytest.raises(BadQuery, match=r"shape \(3,\)"):
        searcher.by_vector(np.ones(3, np.float32))
    with pytest.raises(BadQuery, match="no direction"):
        searcher.by_vector(np.zeros(4, np.float32))


@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_a_vector_may_have_any_length(searcher: Searcher, length: float) -> None:
    vector = np.array([3, 2, 1, 1], np.float32)
    (expected, *_), (hit, *_) = searcher.by_vector(vector), searcher.by_vector(vector * np.float32(length))
    assert (hit.id, hit.score) == (expected.id, pytest.approx(expected.score))


def test_a_query_picture_that_is_none_is_refused_by_name(searcher: Searcher, tmp_path: Path) -> None:
    with pytest.raises(BadPicture, match=r"nowhere\.png"):
        searcher.by_image(tmp_path / "nowhere.png")
    with pytest.raises(BadPicture):
        searcher.by_image(b"not a picture")


def test_an_empty_collection_has_no_hits(tmp_path: Path, encoder: ColorEncoder) -> None:
    empty = Collection.create(tmp_path / "empty", encoder.identity)
    assert Searcher(empty, lambda: encoder).by_text("red") == []


def test_an_encoder_of_another_space_is_refused(collection: Collection, encoder: ColorEncoder) -> None:
    encoder.identity = EncoderIdentity("others", "mean color", "1" * 64, 4, "8x8, squash")
    with pytest.raises(EncoderMismatch, match="--model others --collection NEW_DIRECTORY"):
        Searcher(collection, lambda: encoder).by_text("red")


def test_the_encoder_is_not_loaded_for_an_id(collection: Collection) -> None:
    def fail() -> ColorEncoder:
        raise AssertionError("the encoder was loaded")

    assert len(Searcher(collection, fail).search([IdTerm(1)])) == 2


def test_a_query_picture_is_turned_upright_like_an_indexed_one(searcher: Searcher, photos: Path, index: Build) -> None:
    wide = Image.new("RGB", (32, 16), COLORS["red"])
    wide.paste(COLORS["blue"], (16, 0, 32, 16))
    wide.save(photos / "wide.png")
    index(photos)
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 8
    wide.transpose(Image.Transpose.ROTATE_270).save(turned, "PNG", exif=exif)
    assert searcher.by_image(turned.getvalue())[0].score == pytest.approx(1.0, abs=1e-3)
    assert searcher.by_image(turned.getvalue())[0].path.name == "wide.png"


def test_facts_that_nobody_knows_are_null(searcher: Searcher) -> None:
    hit = replace(searcher.by_text("red")[0], facts=Facts(0, 0, ""))
    assert set(hit.to_dict()["facts"].values()) == {None}
