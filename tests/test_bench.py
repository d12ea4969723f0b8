"""The measurements: what they count must be right; how fast things are is nobody's business here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from indexer.bench_pictures import LARGE, SMALL, make_sets
from indexer.cli import main
from indexer.plain_loop import PlainLoop


def test_made_pictures_are_of_several_formats_and_all_different(tmp_path: Path) -> None:
    sets = make_sets(tmp_path, 5)
    assert {name: len(list(folder.iterdir())) for name, folder in sets.items()} == {"small": 5, "12 megapixels": 1}
    kinds = set()
    for file in (file for folder in sets.values() for file in folder.iterdir()):
        with Image.open(file) as picture:
            kinds.add((picture.format, picture.size))
    assert kinds == {("JPEG", SMALL), ("PNG", SMALL), ("WEBP", SMALL), ("JPEG", LARGE)}
    assert len({file.read_bytes() for folder in sets.values() for file in folder.iterdir()}) == 6


def test_the_limit_is_the_matrix_rate_over_the_towers_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.plain_loop.gemm_flops", lambda: 1e9)
    plain = PlainLoop("bundled")
    tower = plain._loaded.towers
    weights = sum(module.weight.numel() for module in tower.visual.modules() if isinstance(module, torch.nn.Linear))
    per_image = 1e9 / plain.limit()
    assert per_image > 2 * weights  # every weight is multiplied and added, for each token


def test_a_folder_is_measured_against_the_plain_loop(drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(drawings / "odd")
    assert main(["bench", folder, "--model", "bundled", "--rounds", "1", "--against", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    build = facts["builds"]["folder"]
    assert build["times_plain_loop"] == pytest.approx(build["images_per_second"] / build["plain_loop"])
    assert 0 < build["share_of_limit"] == pytest.approx(build["images_per_second"] / build["limit"])
    assert build["seconds"] >= build["encode_seconds"] > 0
    for stage in ("all", "encode", "index", "hydrate"):
        assert 0 < facts["queries"][stage]["p50"] <= facts["queries"][stage]["p95"]
    assert facts["queries"]["all"]["p50"] > facts["queries"]["encode"]["p50"]
    assert facts["cold_start_seconds"] > 0 < facts["peak_bytes"]
