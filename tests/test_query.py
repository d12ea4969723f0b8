"""Command line words -> terms -> one vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.errors import BadQuery
from search.query import IdTerm, ImageTerm, TextTerm, combine, parse


def test_words_are_one_text_with_or_without_quotes() -> None:
    assert parse(["a dog", "in", "the snow"]) == parse(["a dog in the snow"]) == [TextTerm("a dog in the snow")]


@pytest.mark.parametrize("word", ["./dog.jpg", "../dog.jpg", "/photos/dog.jpg"])
def test_a_path_is_a_picture(word: str) -> None:
    assert parse([word]) == [ImageTerm(Path(word))]


def test_a_path_at_home_is_expanded() -> None:
    assert parse(["~/dog.jpg"]) == [ImageTerm(Path.home() / "dog.jpg")]


def test_an_id_a_picture_and_words_go_together() -> None:
    assert parse(["id:12", "./dog.jpg", "at", "night"]) == [
        IdTerm(12),
        ImageTerm(Path("dog.jpg")),
        TextTerm("at night"),
    ]


def test_a_file_name_without_a_path_and_dots_are_words() -> None:
    assert parse(["dog.jpg", "...and", "id:x"]) == [TextTerm("dog.jpg ...and id:x")]


@pytest.mark.parametrize("words", [[], [""], ["  ", "\t"]])
def test_nothing_asked_is_refused_with_examples(words: list[str]) -> None:
    with pytest.raises(BadQuery, match=r"empty query.*id:123"):
        parse(words)


def test_terms_add_up_to_a_unit_vector_between_them() -> None:
    combined = combine([np.array([1, 0], np.float32), np.array([0, 1], np.float32)])
    assert combined == pytest.approx([0.5**0.5, 0.5**0.5])


def test_terms_that_cancel_out_are_refused() -> None:
    with pytest.raises(BadQuery, match="cancel out"):
        combine([np.array([1, 0], np.float32), np.array([-1, 0], np.float32)])
