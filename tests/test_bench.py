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
from tests.test_checkpoints import TINY, VISION, save_tiny_clip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("models") / "tiny")


def test_made_pictures_are_of_several_formats_and_all_different(tmp_path: Path) -> None:
    sets = make_sets(tmp_path, 8)
    counts = {name: len(list(folder.iterdir())) for name, folder in sets.items()}
    assert counts == {"JPEG": 8, "PNG, WebP": 2, "12 megapixels": 2}
    kinds = set()
    for file in (file for folder in sets.values() for file in folder.iterdir()):
        with Image.open(file) as picture:
            kinds.add((picture.format, picture.size))
    assert kinds == {("JPEG", SMALL), ("PNG", SMALL), ("WEBP", SMALL), ("JPEG", LARGE)}
    assert len({file.read_bytes() for folder in sets.values() for file in folder.iterdir()}) == 12


def test_the_operations_of_a_tower_are_those_of_its_matrix_products(model: Path) -> None:
    side, patch, width, layers = (VISION[name] for name in ("image_size", "patch_size", "width", "layers"))
    patches = (side // patch) ** 2
    tokens = patches + 1
    weights = tokens * 12 * width**2  # 3 to ask, 1 to answer, 4 wide and 4 back
    attention = 2 * tokens**2 * width
    products = patches * 3 * patch**2 * width + layers * (weights + attention) + width * TINY["embed_dim"]
    fast = torch.backends.mha.get_fastpath_enabled()
    assert PlainLoop(str(model)).flops() == 2 * products
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_the_limit_is_the_rate_of_matrix_products_over_the_towers_operations(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PlainLoop(str(model))
    monkeypatch.setattr("indexer.plain_loop.gemm_flops", lambda: 1e9)
    assert plain.limit() == pytest.approx(1e9 / plain.flops())


def test_a_folder_without_pictures_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert main(["bench", str(folder), "--model", "bundled"]) == 2
        assert capsys.readouterr().err == f"error: {folder}: no picture is there that can be read\n"


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
