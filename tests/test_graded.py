"""`python -m indexer eval graded` against nDCG written out, and against every order of some grades."""

from __future__ import annotations

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.cli import main
from indexer.gallery import Encoded
from indexer.graded import graded, read_judgments
from search.errors import BadQuery
from search.evaluate import ndcg, nearest
from tests.colors import COLORS, ColorEncoder, unit_rows

PICTURES = ["red", "magenta", "blue", "green", "white"]


def dcg(grades: list[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


@pytest.mark.parametrize("k", [1, 3, 5, 10])
def test_ndcg_is_the_gain_over_the_greatest_of_any_order(k: int) -> None:
    grades = [3.0, 0.0, 1.0, 2.0, 0.5]
    best = max(dcg(list(order[:k])) for order in permutations(grades))
    for order in permutations(grades):
        measured = ndcg(np.array(order[:k]), np.array(grades), k)
        assert measured == pytest.approx(dcg(list(order[:k])) / best)


def test_ndcg_of_an_example_that_is_published() -> None:
    """Grades 3, 2, 3, 0, 1, 2 in this order, and two more of 3 and 2: DCG@6 6.861, ideal 8.740, nDCG 0.785.

    Source: Wikipedia, "Discounted cumulative gain", example.
    """
    found = np.array([3.0, 2, 3, 0, 1, 2])
    assert ndcg(found, np.append(found, [3.0, 2.0]), 6) == pytest.approx(0.785, abs=5e-4)


def test_without_anything_relevant_there_is_no_ndcg() -> None:
    with pytest.raises(ValueError, match="no grade is above 0"):
        ndcg(np.zeros(3), np.zeros(3), 3)


def test_nearest_come_in_order_and_the_first_of_equals_first() -> None:
    items = np.array([[0, 1], [1, 0], [0.6, 0.8], [1, 0]], np.float32)
    assert nearest(np.array([[1, 0], [0, 1]], np.float32), items, 3).tolist() == [[1, 3, 2], [0, 2, 1]]
    assert nearest(np.empty((0, 2), np.float32), items, 9).shape == (0, 4)


@pytest.fixture
def images() -> Encoded:
    return Encoded(PICTURES, unit_rows(np.array([COLORS[name] for name in PICTURES], float)), {})


def test_the_order_of_the_hits_is_compared_with_the_grades(images: Encoded) -> None:
    grades = {"red": {"red": 1.0, "magenta": 3.0, "blue": 0.0}, "blue": {"blue": 2.0}, "green": {"red": 0.0}}
    measured = graded(images, grades, ColorEncoder(), 3)
    # "red" finds red, magenta and white; "blue" finds blue first.
    assert measured.ndcg == pytest.approx({"red": dcg([1, 3, 0]) / dcg([3, 1, 0]), "blue": 1.0})
    assert measured.judged == pytest.approx({"red": 2 / 3, "blue": 1 / 3})
    assert measured.nothing_relevant == ["green"]
    assert measured.to_dict()["ndcg"] == pytest.approx(np.mean(list(measured.ndcg.values())))
    with pytest.raises(BadQuery, match="no query has a picture here with a grade above 0"):
        graded(images, {"red": {"elsewhere": 2.0}}, ColorEncoder(), 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "judgments"


def test_judgments_are_csv_or_json_lines(file: Path) -> None:
    wanted = {"a dog, wet": {"dog.jpg": 2.0, "in/cat.jpg": 0.0}, "a cat": {"in/cat.jpg": 1.5}}
    file.write_text('query,image,grade\n"a dog, wet",dog.jpg,2\n"a dog, wet",in/cat.jpg,0\na cat,in/cat.jpg,1.5\n')
    assert read_judgments(file) == wanted
    rows = [(query, name, grade) for query, grades in wanted.items() for name, grade in grades.items()]
    lines = [json.dumps(dict(zip(("query", "image", "grade"), row, strict=True))) for row in rows]
    file.write_text("\n".join([*lines, "", lines[0]]))
    assert read_judgments(file) == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("query,grade\n", "the columns query and image (or image_name, "),
        ("query,image,grade\n", "holds no judgments"),
        ("query,image,grade\na,b,good\n", "line 2: the grade nan is not a number"),
        ("query,image,grade\na,b,-1\n", "line 2: the grade -1 is not a number from 0 on"),
        ("query,image,grade\na,b,inf\n", "line 2: the grade inf"),
        ("query,image,grade\n,b,1\n", "line 2: an empty query or picture"),
        ("query,image,grade\na,b,1\na,b,2\n", "line 3: b has another grade for 'a' before"),
        ('{"query": "a", "image": "b", "grade": 1}\n{"query": "a"}', 'line 2: not {"query", "image", "grade"}'),
        ('{"query": null, "image": "b", "grade": 1}', "line 1: not"),
        ("{\n", "line 1: not"),
    ],
)
def test_what_is_no_judgment_is_named(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(BadQuery) as error:
        read_judgments(file)
    assert told in str(error.value)


def test_a_folder_and_a_collection_are_measured_alike(
    photos: Path, tiny_model: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("query,image,grade\na red thing,red.png,2\na red thing,blue.webp,1\ngone,gone.png,3\n")
    where = ["--collection", str(tmp_path / "collection")]
    assert main(["build", str(photos), "--model", str(tiny_model), *where]) == 0
    facts: list[dict[str, Any]] = []
    for given in ([str(photos), "--model", str(tiny_model)], where):
        capsys.readouterr()
        assert main(["eval", "graded", *given, "--judgments", str(file), "--json", "-k", "2"]) == 0
        facts.append(json.loads(capsys.readouterr().out))
    assert facts[0] == facts[1]
    assert (facts[0]["queries"], facts[0]["pictures"], facts[0]["k"]) == (1, 3, 2)
    assert (facts[0]["missing"], facts[0]["nothing_relevant"]) == (["gone.png"], ["gone"])
    assert facts[0]["judged"] in (0.5, 1.0)
    assert main(["eval", "graded", *where, "--judgments", str(file), "-k", "2"]) == 0
    words = capsys.readouterr().out
    assert f"nDCG@2          {facts[0]['ndcg']:.4f}\n" in words
    assert f"    {facts[0]['ndcg']:.4f}  {facts[0]['judged']:>6.1%}  a red thing\n" in words
    assert "1 queries have no picture here with a grade above 0, and count for nothing:\n    gone\n" in words
