"""Command line words -> terms -> one vector."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from search.errors import BadQuery
from search.query import IdTerm, ImageTerm, TextTerm, checked, parse, parse_text


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


def test_a_word_behind_a_minus_is_taken_away() -> None:
    assert parse_text('a beach -people -"tall ships"  at noon') == [
        TextTerm("a beach at noon"),
        TextTerm("people", -1.0),
        TextTerm("tall ships", -1.0),
    ]


def test_a_minus_inside_a_word_or_alone_is_text() -> None:
    assert parse_text("a t-shirt - black") == [TextTerm("a t-shirt - black")]


@pytest.mark.parametrize("weight", [0.0, 10.5, -11.0, math.nan, math.inf])
def test_a_weight_out_of_range_is_refused_with_the_range(weight: float) -> None:
    with pytest.raises(BadQuery, match="from -10 to 10"):
        checked([TextTerm("dog"), TextTerm("cat", weight)])


def test_a_query_that_only_takes_away_is_refused() -> None:
    with pytest.raises(BadQuery, match="only takes away"):
        checked(parse_text("-dog"))
