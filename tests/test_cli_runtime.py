"""The command lines on a CPU with exported towers: what is chosen, what is told, and what is not imported."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from indexer.cli import main as indexer
from search.collection import Collection
from search.settings import PROJECT
from search.types import Precision
from tests.conftest import paint
from tests.test_checkpoints import save_tiny_clip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, two pictures, and a cache into which the first build exports the model."""
    place = tmp_path_factory.mktemp("place")
    save_tiny_clip(place / "tiny")
    for color in ("red", "green"):
        paint(place / "photos" / f"{color}.png", color)
    return place


@pytest.fixture(autouse=True)
def environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_RUNTIME", "auto")
    monkeypatch.setenv("IMAGE_SEARCH_DEVICE", "cpu")
    monkeypatch.setenv("IMAGE_SEARCH_CACHE", str(place / "cache"))


def build(place: Path, name: str, *options: str) -> int:
    model, collection = str(place / "tiny"), str(place / name)
    return indexer(["build", str(place / "photos"), "--model", model, "--collection", collection, *options])


def status(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """As facts and in words."""
    capsys.readouterr()
    assert indexer(["status", "--collection", str(place / name), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert indexer(["status", "--collection", str(place / name)]) == 0
    return facts, capsys.readouterr().out


def test_a_build_exports_once_and_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(place, "one") == 0
    err = capsys.readouterr().err
    assert "exporting" in err
    assert "images a second: torch" in err
    assert build(place, "two") == 0
    assert "exporting" not in capsys.readouterr().err
    facts, words = status(place, "one", capsys)
    assert (facts["precision"], facts["int8"], facts["only_torch"]) == ("fp32", None, None)
    assert set(facts["images_per_second"]) == {"torch", "onnx", "onnx-apart"}
    assert "(images a second here: torch " in words


def run_light(*words: str) -> tuple[list[str], str, str]:
    """Lines on stdout, exit code, and which heavy libraries were imported, of a command in a process of its own."""
    program = (
        "import runpy, sys\n"
        f"sys.argv = {list(words)!r}\n"
        "try:\n    runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    print(end.code)\n"
        "heavy = 'torch', 'torchvision', 'open_clip', 'onnx', 'timm', 'sqlalchemy.orm'\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    *lines, code, imported = done.stdout.splitlines()
    return lines, code, imported


def test_a_text_is_searched_without_torch(place: Path) -> None:
    assert build(place, "one") == 0
    paths, code, imported = run_light("search", "a", "dog", "--collection", str(place / "one"), "--paths")
    assert sorted(Path(path).name for path in paths) == ["green.png", "red.png"]
    assert (code, imported) == ("0", "[]")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_new_collection_of_a_known_model_is_built_without_torch(
    place: Path, tmp_path: Path, precision: Precision
) -> None:
    assert build(place, f"known-{precision}", "--runtime", "onnx", "--precision", precision) == 0
    options = ["--model", str(place / "tiny"), "--runtime", "onnx", "--precision", precision]
    words = ["indexer", "build", str(place / "photos"), *options, "--collection", str(tmp_path / "new")]
    _, code, imported = run_light(*words)
    assert (code, imported) == ("0", "[]")
    with (
        closing(Collection.open(place / f"known-{precision}")) as known,
        closing(Collection.open(tmp_path / "new")) as new,
    ):
        assert new.identity == known.identity
        paths = known.catalog.paths()
        assert new.catalog.bulk.vectors_at(paths) == known.catalog.bulk.vectors_at(paths) != {}


def test_int8_is_a_collections_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(place, "small", "--precision", "int8") == 0
    facts, words = status(place, "small", capsys)
    assert facts["precision"] == "int8"
    assert facts["int8"]["cosine"] >= 0.999
    assert f"int8, a mean cosine of {facts['int8']['cosine']:.4f} to fp32" in words
    paint(place / "photos" / "blue.png", "blue")
    assert build(place, "small") == 0  # goes on in int8
    assert indexer(["update", "--collection", str(place / "small")]) == 0
    capsys.readouterr()
    assert build(place, "small", "--precision", "fp32") == 2
    assert "holds pictures embedded in int8. Leave --precision out" in capsys.readouterr().err
    assert indexer(["update", "--collection", str(place / "small"), "--runtime", "torch"]) == 0  # nothing to encode
    paint(place / "photos" / "cyan.png", "cyan")
    assert indexer(["update", "--collection", str(place / "small"), "--runtime", "torch"]) == 2
    assert "int8 is computed by ONNX Runtime" in capsys.readouterr().err


def test_a_model_that_stays_on_pytorch_is_built_with_it(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny_clip(tmp_path / "tiny", preprocess_cfg={"resize_mode": "longest"})
    paint(tmp_path / "photos" / "red.png", "red")
    assert build(tmp_path, "one") == 0
    assert "stays on PyTorch: its pictures are not prepared without PyTorch" in capsys.readouterr().err
    facts, words = status(tmp_path, "one", capsys)
    assert facts["images_per_second"] == {}
    assert f"on a CPU    torch: {facts['only_torch']}" in words
    assert build(tmp_path, "two", "--runtime", "onnx") == 2
    assert "cannot be computed by ONNX Runtime" in capsys.readouterr().err
