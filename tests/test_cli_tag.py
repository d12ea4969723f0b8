"""Label files, and `python -m indexer tag` against the probabilities that `classify` gives for the same pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexer.cli import main
from indexer.labels import labels_in
from search.__main__ import main as search_main
from search.errors import BadQuery
from search.prompts import Label
from tests.conftest import paint

CSV = """name,prompts,threshold,sensitive
dog,a photo of a dog | a puppy,,
"a cat","a {}, sitting",0.1,no
snow,,0.05,Yes
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "labels.csv").write_text(CSV, encoding="utf-8-sig")
    return tmp_path / "labels.csv"


def test_a_csv_file_has_names_prompts_thresholds_and_what_is_sensitive(file: Path) -> None:
    assert labels_in(None, file) == [
        Label("dog", ("a photo of a dog", "a puppy")),
        Label("a cat", ("a a cat, sitting",), 0.1),
        Label("snow", (), 0.05, sensitive=True),
    ]


def test_any_other_file_has_a_label_a_line(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("dog\n\n a cat, sitting \ndog\n")
    assert labels_in(None, tmp_path / "labels.txt") == [Label("dog"), Label("a cat, sitting")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dog\ncat\n", "has the columns dog; there are: name, prompts, threshold, sensitive"),
        ("name,color\ndog,red\n", "has the columns name, color"),
        ("name,threshold\ndog,high\n", "line 2: threshold is 'high'"),
        ("name,sensitive\ncat,\ndog,perhaps\n", "line 3: sensitive is 'perhaps'; write yes or no"),
        ("name,prompts\n,a dog\n", "line 2: no name"),
        ("name,prompts\ndog,a dog, sitting\n", "line 2: more fields than columns"),
        ("name\ndog\ncat\ndog\n", "line 4: 'dog' is there twice"),
        ('name\n"dog\n', "unexpected end of data"),
        ("name\n", "no labels"),
        ("", "has the columns ; there are"),
    ],
)
def test_a_bad_line_of_a_csv_file_is_named(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(BadQuery, match=re.escape(told)):
        labels_in(None, file)


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("tag", ...)` on a collection of three pictures -> exit code, stdout, stderr."""
    for color in ("red", "green", "blue"):
        paint(tmp_path / "photos" / f"{color}.png", color)
    place = ["--collection", str(tmp_path / "collection")]

    def run(*words: object) -> tuple[int, str, str]:
        at = place if words[0] != "classify" else ["--model", str(tiny_model)]
        code = main([*map(str, words), *at])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    assert run("build", tmp_path / "photos", "--model", tiny_model)[0] == 0
    return run


def test_tags_are_the_probabilities_of_classify(run: Run, file: Path, tmp_path: Path) -> None:
    _, out, _ = run("classify", tmp_path / "photos", "--labels-file", file, "--templates", "simple", "--json")
    rows = {Path(row["path"]).name: row["probabilities"] for row in map(json.loads, out.splitlines())}
    code, out, _ = run("tag", "--labels-file", file, "--templates", "simple", "--threshold", 0.3, "--json")
    thresholds = {"dog": 0.3, "a cat": 0.1, "snow": 0.05}
    counts = {name: sum(row[name] >= threshold for row in rows.values()) for name, threshold in thresholds.items()}
    facts = json.loads(out)
    assert code == 0
    assert {label["name"]: label["images"] for label in facts["labels"]} == counts
    assert facts["hidden"] == counts["snow"]
    status = json.loads(run("status", "--json")[1])
    assert status["tags"] == facts
    assert status["images"] == 3
    assert "tags        " in run("status")[1]


def test_tags_are_taken_away_without_a_model(run: Run, file: Path, tiny_model: Path) -> None:
    assert run("tag", "--labels-file", file)[0] == 0
    (tiny_model / "open_clip_model.safetensors").rename(tiny_model / "away")
    try:
        code, out, _ = run("tag", "--clear")
    finally:
        (tiny_model / "away").rename(tiny_model / "open_clip_model.safetensors")
    assert (code, out) == (0, "no labels, no tags\n")


def test_what_cannot_be_tagged_by_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("dog\n")
    code, _, told = run("tag", "--labels-file", tmp_path / "one.txt")
    assert (code, told.count("\n")) == (2, 1)
    assert "give 2 at least" in told


def test_a_search_is_narrowed_by_tags_and_shows_sensitive_ones_when_asked(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By id, so that the random towers do not matter: with two equal labels every picture has both."""
    (tmp_path / "all.csv").write_text("name,prompts,threshold,sensitive\none,the same,0.4,\ntwo,the same,0.4,\n")
    assert run("tag", "--labels-file", tmp_path / "all.csv")[0] == 0
    place = ["id:1", "--json", "--collection", str(tmp_path / "collection")]

    def found(*words: str) -> list[dict[str, Any]]:
        code = search_main([*words, *place])
        hits: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["hits"]
        assert code == (0 if hits else 1)
        return hits

    assert len(found("--tag", "one", "--tag", "two")) == 2
    assert search_main(["--tag", "one", "--tag", "three", *place]) == 2
    assert "the tag 'three'; there are: one, two" in capsys.readouterr().err
    tags = found()[0]["tags"]
    assert {tag["name"]: tag["sensitive"] for tag in tags} == {"one": False, "two": False}
    assert [tag["probability"] for tag in tags] == pytest.approx([0.5, 0.5])
    (tmp_path / "all.csv").write_text("name,prompts,threshold,sensitive\none,the same,0.4,yes\ntwo,the same,0.4,\n")
    assert run("tag", "--labels-file", tmp_path / "all.csv")[0] == 0
    assert search_main(place) == 1
    assert "--sensitive show would look through it too" in capsys.readouterr().err
    assert len(found("--sensitive", "show")) == 2
    assert search_main(["--sensitive", "show", "--where", "format:jgp width>=1", *place]) == 1
    assert "nothing satisfies format:JGP width>=1\n" in capsys.readouterr().err
