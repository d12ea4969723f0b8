"""The cache of exported towers: whole or not there, whatever happens to its files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from search.errors import ModelUnavailable
from search.exports import EXPORTER, Exports
from search.types import Agreement, EncoderIdentity

IDENTITY = EncoderIdentity("name", "architecture", "0" * 64, 4, "preprocessing")


@pytest.fixture
def exports(tmp_path: Path) -> Exports:
    exports = Exports.of(tmp_path, IDENTITY)
    with exports.writing():
        exports.write("fp32", lambda folder: make(folder, "old"))
    return exports


def make(folder: Path, content: str) -> dict[str, Any]:
    (folder / "tower").write_text(content)
    return {"content": content}


def test_what_was_written_is_there_for_the_same_space_under_any_name(tmp_path: Path, exports: Exports) -> None:
    same = dataclasses.replace(IDENTITY, model="another", int8=Agreement(1.0, 1.0))
    assert Exports.of(tmp_path, same).facts("fp32", thorough=True) == {"content": "old"}
    assert exports.facts("int8") is None
    for field, value in {"weights_digest": "1" * 64, "architecture": "b", "preprocessing": "c", "dim": 8}.items():
        assert Exports.of(tmp_path, dataclasses.replace(IDENTITY, **{field: value})).facts("fp32") is None


def test_what_older_releases_exported_of_the_same_model_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another = dataclasses.replace(IDENTITY, weights_digest="1" * 64)
    for exporter, identity in ((EXPORTER - 1, IDENTITY), (EXPORTER - 1, another), (EXPORTER, IDENTITY)):
        monkeypatch.setattr("search.exports.EXPORTER", exporter)
        Exports.of(tmp_path, identity).write("fp32", lambda folder: make(folder, "towers"))
    Exports.of(tmp_path, IDENTITY).remove_older(IDENTITY)
    assert Exports.of(tmp_path, IDENTITY).facts("fp32")
    assert len(list((tmp_path / "onnx").iterdir())) == 2
    monkeypatch.setattr("search.exports.EXPORTER", EXPORTER - 1)
    assert Exports.of(tmp_path, another).facts("fp32")


@pytest.mark.parametrize("content", ["ol", "", "older"])
def test_a_file_of_another_size_is_noticed(exports: Exports, content: str) -> None:
    (exports.part("fp32") / "tower").write_text(content)
    assert exports.facts("fp32") is None


def test_a_file_of_other_bytes_is_noticed_by_a_thorough_look(exports: Exports) -> None:
    (exports.part("fp32") / "tower").write_text("olt")
    assert exports.facts("fp32") is not None
    assert exports.facts("fp32", thorough=True) is None


def test_a_lost_file_and_half_a_manifest_are_noticed(exports: Exports) -> None:
    manifest = exports.part("fp32") / "manifest.json"
    whole = manifest.read_text()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        manifest.write_text(whole[:length])
        assert exports.facts("fp32") is None
    manifest.write_text(whole)
    (exports.part("fp32") / "tower").unlink()
    assert exports.facts("fp32") is None


def test_what_fails_leaves_what_was_there(exports: Exports) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        make(folder, "half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exports.write("fp32", fail)
    assert exports.facts("fp32", thorough=True) == {"content": "old"}
    assert [path.name for path in exports.folder.iterdir() if path.is_dir()] == ["fp32"]


def test_a_part_is_replaced_whole_also_after_a_crash(exports: Exports) -> None:
    crashed = exports.part("fp32").with_suffix(".new")
    crashed.mkdir()
    (crashed / "other").write_text("half")
    exports.write("fp32", lambda folder: make(folder, "new"))
    assert exports.facts("fp32", thorough=True) == {"content": "new"}
    assert sorted(path.name for path in exports.part("fp32").iterdir()) == ["manifest.json", "tower"]


def test_refusals_and_speeds_are_remembered_and_half_of_them_forgotten(exports: Exports) -> None:
    assert exports.refusal is None
    exports.refuse("it cannot")
    assert exports.refusal == "it cannot"
    exports.remember("here", "fp32", {"torch": 1.0})
    exports.remember("there", "fp32", {"torch": 2.0})
    exports.remember("here", "int8", {"onnx": 3.0})
    assert exports.speeds("here", "fp32") == {"torch": 1.0}
    assert exports.speeds("here", "int8") == {"onnx": 3.0}
    assert exports.speeds("elsewhere", "fp32") == exports.speeds("there", "int8") == {}
    (exports.folder / "speeds.json").write_text('{"here": ')
    assert exports.speeds("here", "fp32") == {}


def test_a_cache_that_cannot_be_written_is_told_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "onnx").write_text("a file in the way")
    with pytest.raises(ModelUnavailable, match="IMAGE_SEARCH_CACHE"), Exports.of(tmp_path, IDENTITY).writing():
        pass
