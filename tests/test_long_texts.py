"""Texts that do not fit: captions in parts, queries with their length, against sums written out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from indexer.cli import main as indexer
from search.__main__ import main as search
from search.collection import Collection
from search.encoder import load_encoder
from search.long_texts import encode_long, split
from search.query import IdTerm, TextTerm
from search.searcher import Searcher
from search.torch_encoder import TorchEncoder
from search.types import TextLength
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from web.app import create_app

DOGS = "A dog runs through deep snow. " * 10
CATS = "Two cats sleep on a sofa by the window! " * 10


@pytest.fixture
def tiny(tiny_model: Path) -> TorchEncoder:
    return load_encoder(str(tiny_model), device="cpu")


def at_most(words: int) -> Callable[[str], bool]:
    return lambda text: len(text.split()) <= words


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One two. Three four. Five.", ["One two. Three four.", "Five."]),
        ("One two three? Four! Five six seven eight.", ["One two three? Four!", "Five six seven eight."]),
        ("One two three four five six. Seven.", ["One two three four", "five six. Seven."]),
        ("at 3.5 m", ["at 3.5 m"]),
    ],
)
def test_a_text_is_split_at_sentence_ends_and_within_sentences_only_where_it_must(text: str, parts: list[str]) -> None:
    assert split(text, at_most(4)) == parts


def test_a_word_that_does_not_fit_is_cut_in_halves() -> None:
    parts = split("雪" * 9, lambda text: len(text) <= 4)
    assert all(len(part) <= 4 for part in parts)
    assert "".join(parts).replace(" ", "") == "雪" * 9
    assert split("雪", lambda _: False) == ["雪"]


def test_every_part_fits_the_tower_and_no_word_is_lost(tiny: TorchEncoder) -> None:
    parts = split(DOGS + CATS, lambda text: tiny.count_tokens([text])[0] <= 77)
    assert max(tiny.count_tokens(parts)) <= 77
    assert " ".join(parts).split() == (DOGS + CATS).split()
    assert all(part[-1] in ".!" for part in parts)


def test_a_long_text_is_the_normalized_mean_of_its_parts(tiny: TorchEncoder) -> None:
    texts = ["a dog", DOGS + CATS, "a cat"]
    parts = split(texts[1], lambda text: tiny.count_tokens([text])[0] <= 77)
    assert len(parts) > 2
    mean = tiny.encode_texts(parts).mean(axis=0)
    rows = encode_long(tiny, texts)
    np.testing.assert_allclose(rows[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(rows[[0, 2]], tiny.encode_texts(["a dog", "a cat"]), atol=1e-6)
    assert not np.allclose(rows[1], tiny.encode_texts([DOGS + CATS])[0], atol=1e-3)


def test_texts_that_fit_are_encoded_as_they_are(tiny: TorchEncoder) -> None:
    np.testing.assert_array_equal(encode_long(tiny, ["a dog", "a cat"]), tiny.encode_texts(["a dog", "a cat"]))
    assert encode_long(tiny, []).shape == (0, 16)


@pytest.mark.parametrize(("choice", "same"), [("split", encode_long), ("cut", TorchEncoder.encode_texts)])
def test_long_captions_are_stored_as_the_option_says(
    tmp_path: Path, tiny_model: Path, tiny: TorchEncoder, choice: str, same: Callable[..., np.ndarray]
) -> None:
    caption = (DOGS + CATS).strip()
    paint(tmp_path / "photos" / "a.png", "red").with_suffix(".txt").write_text(caption)
    build = ["build", str(tmp_path / "photos"), "--model", str(tiny_model), "--collection", str(tmp_path / "made")]
    assert indexer([*build, *(["--long-captions", "cut"] if choice == "cut" else [])]) == 0
    (stored,) = Collection.open(tmp_path / "made").catalog.text_vectors([caption]).values()
    np.testing.assert_allclose(stored.astype(np.float32), same(tiny, [caption])[0], atol=1e-3)


def test_a_page_knows_the_length_of_the_longest_text(
    searcher: Searcher, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    encoder.context = 6
    image_id = searcher.by_text("red")[0].id
    assert searcher.page([IdTerm(image_id)]).length is None
    page = searcher.page([TextTerm("red"), TextTerm("a red wall in a garden"), IdTerm(image_id)])
    assert page.length == TextLength(tokens=8, context=6)
    assert page.length.truncated
    fits = searcher.page([TextTerm("a red wall here")]).length
    assert fits == TextLength(tokens=6, context=6)
    assert not fits.truncated
    in_a_template = searcher.page([TextTerm("a red wall here")], templates=["{}", "a photo of {}"]).length
    assert in_a_template == TextLength(tokens=9, context=6)


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    index(photos)
    encoder.context = 6
    return create_app([collection], lambda _model: encoder).test_client()


@pytest.mark.parametrize(
    ("q", "told"),
    [("a red wall here", (False, 6, 6)), ("a red wall in a garden", (True, 8, 6)), ("red -a -wall", (False, 3, 6))],
)
def test_the_api_says_whether_a_text_was_truncated(client: FlaskClient, q: str, told: tuple[bool, int, int]) -> None:
    answer = client.get("/api/v1/search", query_string={"q": q}).get_json()
    assert (answer["truncated"], answer["tokens"], answer["context"]) == told
    html = client.get("/search", query_string={"q": q}).get_data(as_text=True)
    assert ("8 tokens long, and the model reads the first 6" in html) is told[0]


def test_the_api_says_nothing_of_tokens_where_no_text_is_asked(client: FlaskClient) -> None:
    answer = client.get("/api/v1/images/1/similar").get_json()
    assert (answer["truncated"], answer["tokens"], answer["context"]) == (False, None, None)


def test_embedded_texts_have_their_lengths(client: FlaskClient) -> None:
    answer = client.post("/api/v1/embed", json={"texts": ["red", "a red wall in a garden"]}).get_json()
    assert (answer["truncated"], answer["tokens"], answer["context"]) == (True, [3, 8], 6)
    assert client.post("/api/v1/embed", json={"texts": ["red"]}).get_json()["truncated"] is False


def test_the_command_line_says_that_a_text_was_truncated(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "photos" / "a.png", "red")
    collection = ["--collection", str(tmp_path / "made")]
    assert indexer(["build", str(tmp_path / "photos"), "--model", str(tiny_model), *collection]) == 0
    capsys.readouterr()
    assert search(["dog " * 90, *collection, "--json"]) == 0
    out, told = capsys.readouterr()
    assert "the text has 92 tokens; the model reads the first 77 of them" in told
    assert len(json.loads(out)["hits"]) == 1
    assert search(["dog " * 75, *collection]) == 0
    assert "tokens" not in capsys.readouterr().err
