"""`python -m indexer classify`: a row for each picture, also after an interruption, against the classifier itself."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexer.build import Options
from indexer.classify import Classified, classify_files
from indexer.cli import main
from indexer.table import Form, Table
from search.classify import make_classifier
from search.encoder import load_encoder
from search.errors import BadQuery
from search.image import decode_picture
from search.prompts import templates_of
from search.settings import PROJECT
from tests.colors import ColorEncoder
from tests.conftest import paint

LABELS = ["a dog", "a red, round thing", "snow"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in two folders, a file that is none, and a name that is no UTF-8."""
    folder = tmp_path / "photos"
    for name, color in (("a.png", "red"), ("b/c.bmp", "green"), ("b/d.webp", "blue")):
        paint(folder / name, color)
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "a.png").rename(folder / os.fsdecode(b"a\xe9.png"))
    return folder


@pytest.fixture
def run(folder: Path, tiny_model: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """`run("--csv", ...)` -> exit code, stdout, stderr."""
    (tmp_path / "labels.txt").write_text("\n".join([*LABELS, "", LABELS[0]]))

    def run(*words: object) -> tuple[int, str, str]:
        fixed = ["classify", folder, "--labels-file", tmp_path / "labels.txt", "--model", tiny_model]
        code = main([str(word) for word in (*fixed, *words)])
        captured = capsysbinary.readouterr()
        return code, os.fsdecode(captured.out), captured.err.decode()

    return run


def expected(folder: Path, model: Path, templates: str) -> dict[str, np.ndarray]:
    """The probabilities by path, each picture alone."""
    encoder = load_encoder(str(model), device="cpu")
    classifier = make_classifier(encoder, LABELS, templates_of(templates))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "bad.jpg"]
    pictures = {str(path): decode_picture(path.read_bytes(), max_pixels=10**6).image for path in files}
    return {path: classifier.probabilities(encoder.encode_images([image]))[0] for path, image in pictures.items()}


@pytest.mark.parametrize("templates", ["plain", "simple", "a drawing of a {}"])
def test_json_has_a_row_for_each_picture_and_each_bad_file(
    run: Run, folder: Path, tiny_model: Path, templates: str
) -> None:
    code, out, told = run("--json", "--templates", templates, "--batch-size", 2)
    rows = {row["path"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0
    assert "not a picture" in rows.pop(str(folder / "bad.jpg"))["error"]
    wanted = expected(folder, tiny_model, templates)
    assert rows.keys() == wanted.keys()
    for path, probabilities in wanted.items():
        assert list(rows[path]["probabilities"]) == LABELS
        np.testing.assert_allclose(list(rows[path]["probabilities"].values()), probabilities, atol=1e-5)
        assert rows[path]["label"] == LABELS[int(probabilities.argmax())]
    assert "3 classified, 1 could not be read, 0 done before" in told


def test_csv_and_words_say_the_same(run: Run, folder: Path, tiny_model: Path) -> None:
    wanted = expected(folder, tiny_model, "plain")
    heading, *rows = csv.reader(io.StringIO(run("--csv")[1], newline=""))
    assert heading == ["path", "label", "error", *LABELS]
    assert {row[0] for row in rows} == {*wanted, str(folder / "bad.jpg")}
    words = run()[1].splitlines()
    for path, label, error, *values in rows:
        if path in wanted:
            np.testing.assert_allclose([float(value) for value in values], wanted[path], atol=1e-5)
            assert f"{wanted[path].max():.4f}  {label}  {path}" in words
        else:
            assert (label, values) == ("", [""] * len(LABELS)) and f"error   {error}  {path}" in words


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_an_output_is_gone_on_with_where_it_was_torn(run: Run, folder: Path, tmp_path: Path, form: str) -> None:
    output = tmp_path / "rows"
    again = (form, "--output", output, "--batch-size", 1)  # the size of a batch moves the last digits
    assert run(*again)[:2] == (0, "")
    complete = output.read_bytes()
    assert run(*again)[2].endswith("0 classified, 0 could not be read, 4 done before\n")
    assert output.read_bytes() == complete
    for kept in (0, 3, len(complete) // 2, len(complete) - 1):
        output.write_bytes(complete[:kept])
        assert run(*again)[0] == 0
        assert output.read_bytes() == complete
    paint(folder / "new.png", "white")
    assert "1 classified, 0 could not be read, 4 done before" in run(*again)[2]
    assert output.read_bytes().startswith(complete)
    assert b"new.png" in output.read_bytes()[len(complete) :]


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_an_output_of_other_labels_is_left_alone(run: Run, tmp_path: Path, form: str) -> None:
    output = tmp_path / "rows"
    for content in (
        b"path,label,error,cat\r\n/a.png,cat,,1\r\n",
        b'{"path": "/a.png", "label": "cat", "probabilities": {"cat": 1}}\n',
        b"a diary\r\nof mine\r\n",
        b"[1]\r\n",
        b"a diary without a line's end",
        b"{}\r\n",
    ):
        output.write_bytes(content)
        code, _, told = run(form, "--output", output)
        assert code == 2
        assert f"{output} holds rows of other labels" in told
        assert output.read_bytes() == content


OTHERS = {
    "csv": [b"\r\n", b"/a.png\r\n", b"/a.png,cat,,1,2\r\n", b"/a.png," + b"x" * 140_000 + b",,1\r\n"],
    "json": [
        b'{"path": ["x"], "probabilities": {"cat": 1}}\n',
        b'{"path": "/a.png", "probabilities": null}\n',
        b'{"path": "/a.png", "probabilities": ["cat"]}\n',
        b'{"path": ' * 100_000 + b"\n",
        b'{"path": ' + b"9" * 5_000 + b"}\n",
    ],
}


@pytest.mark.parametrize("form", OTHERS)
def test_an_output_with_odd_rows_is_left_alone(form: Form, tmp_path: Path) -> None:
    table, output = Table(["cat"], form), tmp_path / "rows"
    good = table.line(Classified("/b.png", np.ones(1, np.float32)))
    for line in OTHERS[form]:
        content = table.heading + good + line
        output.write_bytes(content)
        with pytest.raises(BadQuery, match="holds rows of other labels or of another form"):
            table.paths_in(output)
        assert output.read_bytes() == content


def test_what_cannot_be_done_is_told_in_a_line(run: Run, tmp_path: Path) -> None:
    assert "--output takes --csv or --json" in run("--output", tmp_path / "rows")[2]
    assert f"{tmp_path} cannot be written" in run("--csv", "--output", tmp_path)[2]
    assert "cannot be written: No such file" in run("--csv", "--output", tmp_path / "nowhere" / "rows")[2]
    assert "there are: plain, simple, imagenet" in run("--templates", "all")[2]
    (tmp_path / "labels.txt").write_text(" \n")
    assert "no labels" in run()[2]
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe")
    assert "labels.txt cannot be read as text" in run()[2]


def test_labels_stand_between_commas(
    folder: Path, tiny_model: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["classify", str(folder), "--labels", "dog, cat,", "--model", str(tiny_model), "--csv"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"path,label,error,dog,cat\r\n")


def test_a_folder_without_pictures_is_a_no(
    tmp_path: Path, tiny_model: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["classify", str(tmp_path / "empty"), "--labels", "dog", "--model", str(tiny_model)]) == 1


def test_rows_come_as_files_are_read_and_before_all_of_them_are(tmp_path: Path, encoder: ColorEncoder) -> None:
    files = [str(paint(tmp_path / f"{number}.png", "red")) for number in range(40)]
    waiting = iter(files)
    classifier = make_classifier(encoder, ["red", "blue"], ["{}"])
    rows = classify_files(waiting, encoder, classifier, Options(batch_size=2, workers=2))
    assert next(rows).path == files[0]
    left = list(waiting)
    assert len(left) > 20
    assert [row.path for row in rows] == files[1 : -len(left)]


def test_a_name_with_a_line_end_is_one_row(tmp_path: Path) -> None:
    table, output = Table(["dog"], "csv"), tmp_path / "rows"
    item = Classified("/one\ntwo.png", np.ones(1, np.float32))
    output.write_bytes(table.heading + table.line(item) + table.line(item)[:-1])
    assert table.paths_in(output) == {"/one\ntwo.png"}
    assert output.read_bytes() == table.heading + table.line(item)


def test_a_reader_that_goes_away_ends_the_run_without_a_traceback(folder: Path, tiny_model: Path) -> None:
    words = ["classify", str(folder), "--labels", "dog,cat", "--model", str(tiny_model), "--batch-size", "1"]
    program = [sys.executable, "-m", "indexer", *words]
    with subprocess.Popen(program, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        told = running.stderr.read().decode()
    assert running.returncode == 130
    assert "Traceback" not in told and "Exception" not in told


@pytest.mark.parametrize("form", [[], ["--csv"]], ids=str)
def test_labels_are_written_whatever_the_locale(
    folder: Path, tiny_model: Path, tmp_path: Path, form: list[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("Größe\n", encoding="utf-8")
    words = [sys.executable, "-m", "indexer", "classify", folder, "--labels-file", labels, "--model", tiny_model, *form]
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(words, cwd=PROJECT, env=plain, capture_output=True, check=True)
    assert done.stdout.decode("utf-8", "surrogateescape").count("Größe") >= 3


@pytest.mark.parametrize(
    "words", [["indexer", "models"], ["indexer", "classify", "data/sample", "--labels", "a,b"]], ids=str
)
def test_a_closed_stdout_is_told_in_a_line(words: list[str]) -> None:
    words = [sys.executable, "-m", *words]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *words]
    done = subprocess.run(closed, cwd=PROJECT, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: stdout is closed; send it to a file")
