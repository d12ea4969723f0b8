"""Command line words -> terms -> one vector."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.errors import BadQuery
from search.query import IdTerm, ImageTerm, Term, TextTerm, VectorTerm, checked, parse, parse_text


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


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ('"a beach" + id:12*0.5 - "people"', [TextTerm("a beach"), IdTerm(12, 0.5), TextTerm("people", -1.0)]),
        ('"a beach"', [TextTerm("a beach")]),
        ('"a -b * 2"', [TextTerm("a -b * 2")]),
        ('"a"+"b"-"c"', [TextTerm("a"), TextTerm("b"), TextTerm("c", -1.0)]),
        (' - "people"*2 + "a beach" * .5 ', [TextTerm("people", -2.0), TextTerm("a beach", 0.5)]),
        ('"a" - id:3*-2.', [TextTerm("a"), IdTerm(3, 2.0)]),
        (r'"say \"hi\" \\" + id:1', [TextTerm('say "hi" \\'), IdTerm(1)]),
        ("id:7", [IdTerm(7)]),
    ],
)
def test_a_formula_is_a_sum_of_terms(text: str, terms: list[Term]) -> None:
    assert parse_text(text) == terms
    assert parse([text]) == terms
    assert parse(text.split(" ")) == terms


@pytest.mark.parametrize(
    "text",
    [
        "a well-known t-shirt",
        "salt + pepper",
        "a beach - people",
        "5 * 3",
        "C++",
        "a*",
        "it's late",
        "rock 'n' roll",
        'rock "n" roll',
        '"stop" sign',
        'a sign that says "stop"',
        '"to be" or "not to be"',
        '"a" "b"',
        '"a" + b',
        '"a" * x + "b"',
        '"a" +',
        '24" screen',
        '"',
        '""',
        "-",
        "+",
        "*",
        "24/7",
        "upload",
        "id:x",
        "id: 12",
        "grid:12",
        "100% cotton + 20°",
        "犬 + 猫",
    ],
)
def test_what_a_person_types_stays_a_text(text: str) -> None:
    assert parse_text(text) == [TextTerm(text)]
    assert parse([text]) == [TextTerm(text)]
    assert parse(text.split(" ")) == [TextTerm(text)]


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from([*'ab-+*"/:. \\', "id:1", "upload:1", "./"])).map("".join))
def test_whatever_is_typed_is_terms_or_a_refusal(text: str) -> None:
    """No file is a term of what comes over HTTP, and no word is lost but in formulas."""
    try:
        terms = parse_text(text, [b"first"])
    except BadQuery:
        return
    assert all(term.source == b"first" for term in terms if isinstance(term, ImageTerm))
    assert all(isinstance(term, TextTerm | IdTerm | ImageTerm) for term in terms)


def test_a_text_beside_an_id_with_a_sign_wants_quotes() -> None:
    for text in ("beach + id:12", "id:12*2 - people at noon"):
        with pytest.raises(BadQuery, match="in a sum every text stands in quotes"):
            parse_text(text)
    for text in ("a beach + ./dog.jpg", '"a beach" + ./my dog.jpg', "“a beach” - ~/dog.jpg"):
        assert parse_text(text)
        with pytest.raises(BadQuery, match="in a sum every text stands in quotes"):
            parse([text])


def test_files_are_terms_on_the_command_line_alone() -> None:
    text = '"a beach" + ./a-dog.jpg*0.5 - ~/c*2.png'
    assert parse([text]) == [
        TextTerm("a beach"),
        ImageTerm(Path("a-dog.jpg"), 0.5),
        ImageTerm(Path.home() / "c*2.png", -1.0),
    ]
    assert parse_text(text) == [TextTerm(text)]


def test_uploads_are_terms_by_number_and_are_added_when_nobody_speaks_of_them() -> None:
    assert parse_text("", [b"1"]) == [ImageTerm(b"1")]
    assert parse_text("at night", [b"1", b"2"]) == [ImageTerm(b"1"), ImageTerm(b"2"), TextTerm("at night")]
    assert parse_text('"at night" - upload:2*0.5', [b"1", b"2"]) == [
        ImageTerm(b"1"),
        TextTerm("at night"),
        ImageTerm(b"2", -0.5),
    ]
    for text in ("upload:3", "upload:0"):
        with pytest.raises(BadQuery, match=f"there is no {text}; 2 came with the query"):
            parse_text(text, [b"1", b"2"])


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        (
            ["a beach", "+", "./dog.jpg*0.5", "-", "people"],
            [ImageTerm(Path("dog.jpg"), 0.5), TextTerm("a beach"), TextTerm("people", -1.0)],
        ),
        (["./my dog.jpg*2", "-", "id:3"], [ImageTerm(Path("my dog.jpg"), 2.0), IdTerm(3, -1.0)]),
        (["./dog.jpg", "-", "two", "people*.5"], [ImageTerm(Path("dog.jpg")), TextTerm("two people", -0.5)]),
        (["a beach*2", "+", "id:3", "at noon"], [IdTerm(3), TextTerm("a beach*2 at noon")]),
        (["a beach*2", "+", "id:3"], [IdTerm(3), TextTerm("a beach", 2.0)]),
        (["-", "id:3", "at", "night"], [IdTerm(3, -1.0), TextTerm("at night")]),
        (["at", "id:3", "night -rain"], [IdTerm(3), TextTerm("at night"), TextTerm("rain", -1.0)]),
    ],
)
def test_beside_pictures_and_ids_an_argument_may_be_a_sign(words: list[str], terms: list[Term]) -> None:
    assert parse(words) == terms


@pytest.mark.parametrize(
    ("words", "said"), [(["id:3", "+"], "ends with \\+"), (["id:3", "-", "+", "x"], "- \\+: there is nothing between")]
)
def test_a_sign_with_nothing_behind_it_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(BadQuery, match=said):
        parse(words)


def test_a_file_of_numbers_is_a_vector(tmp_path: Path) -> None:
    for shape in ((4,), (1, 4)):
        np.save(tmp_path / "a.npy", np.arange(4.0).reshape(shape))
        [term] = parse([f"{tmp_path / 'a.npy'}*2"])
        assert isinstance(term, VectorTerm)
        assert (term.vector.tolist(), term.weight) == ([0, 1, 2, 3], 2.0)
    for wrong in (np.zeros((2, 2)), np.array(1.0), np.array(["a"])):
        np.save(tmp_path / "a.npy", wrong)
        with pytest.raises(BadQuery, match=r"a\.npy holds no vector"):
            parse([str(tmp_path / "a.npy")])
    (tmp_path / "a.npy").write_bytes(b"no")
    for name, said in (("a.npy", "is no .npy file of numbers"), ("b.npy", "cannot be read: No such file")):
        with pytest.raises(BadQuery, match=said):
            parse([str(tmp_path / name)])


def test_only_a_leading_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(["./~nobody/a.jpg", "~/b.jpg"]) == [ImageTerm(Path("~nobody/a.jpg")), ImageTerm(tmp_path / "b.jpg")]
