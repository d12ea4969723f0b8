"""Names of models that are known without loading them, and every way in which that ends."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search.errors import ModelUnavailable
from search.known_models import KnownModel
from search.models import BUNDLED, CONFIG_FILE, MODELS, WEIGHTS_FILES, Hub
from search.types import Agreement, EncoderIdentity, Precision
from tests.test_models import put_in_cache

IDENTITY = EncoderIdentity("name", "architecture", "0" * 64, 4, "preprocessing")
WEIGHTS = WEIGHTS_FILES[0]
REPO = MODELS[0].repo or ""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder in `models` of the working directory, whose weights are a link."""
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text("a configuration")
    for name in ("blob", "other"):
        (tmp_path / name).write_text(f"{name:10}")
    (folder / WEIGHTS).symlink_to(tmp_path / "blob")
    return folder


def known(tmp_path: Path, name: str, precision: Precision = "fp32") -> KnownModel | None:
    place = tmp_path / "bundled"
    hub = Hub(cache=tmp_path / "hub")
    return KnownModel.of(name, precision, cache=tmp_path / "cache", models=tmp_path / "models", hub=hub, bundled=place)


def identity(tmp_path: Path, name: str, precision: Precision = "fp32") -> EncoderIdentity | None:
    found = known(tmp_path, name, precision)
    return found and found.identity


def remember(tmp_path: Path, name: str) -> None:
    found = known(tmp_path, name)
    assert found and found.identity is None
    found.remember(IDENTITY)
    assert identity(tmp_path, name) == IDENTITY


def test_a_name_is_known_in_the_precision_that_was_noted(tmp_path: Path, model: Path) -> None:
    remember(tmp_path, str(model))
    assert identity(tmp_path, str(model), "int8") is None
    small = dataclasses.replace(IDENTITY, int8=Agreement(0.9995, 0.97))
    found = known(tmp_path, str(model), "int8")
    assert found
    found.remember(small)
    assert identity(tmp_path, str(model), "int8") == small
    assert identity(tmp_path, str(model)) == IDENTITY


def same_times(file: Path, content: str) -> None:
    """Write as many bytes, and set the times back, as a copy does that keeps them."""
    stat = file.stat()
    file.write_text(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def to_other(model: Path) -> None:
    (model / WEIGHTS).unlink()
    (model / WEIGHTS).symlink_to(model.parents[1] / "other")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / CONFIG_FILE).write_text("another configuration"),
        lambda model: (model / CONFIG_FILE).touch(),
        lambda model: same_times(model / CONFIG_FILE, "A configuration"),
        lambda model: same_times(model / WEIGHTS, "BLOB      "),
        to_other,
        lambda model: (model / WEIGHTS).rename(model / WEIGHTS_FILES[1]),
        lambda model: (model / WEIGHTS).unlink(),
        lambda model: (model / "config.json").touch(),
        shutil.rmtree,
    ],
    ids=[
        *("written", "touched", "written, times kept", "other weights of the same size and time", "linked elsewhere"),
        *("renamed", "removed", "a file more", "gone"),
    ],
)
def test_a_folder_of_which_anything_changed_is_not_known(
    tmp_path: Path, model: Path, change: Callable[[Path], object]
) -> None:
    remember(tmp_path, str(model))
    change(model)
    assert identity(tmp_path, str(model)) is None


def test_a_name_that_means_another_place_is_not_known(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(model, elsewhere / "mine")
    shutil.copytree(model, elsewhere / "theirs")
    monkeypatch.chdir(elsewhere)
    remember(tmp_path, "mine")
    remember(tmp_path, "theirs")
    monkeypatch.chdir("/")
    assert identity(tmp_path, "mine") == IDENTITY
    assert known(tmp_path, "theirs") is None
    monkeypatch.chdir(elsewhere)
    model.rename(tmp_path / "models" / "theirs")
    assert identity(tmp_path, "mine") is identity(tmp_path, "theirs") is None


def test_a_file_alone_is_known_and_with_its_architecture_again(tmp_path: Path) -> None:
    file = tmp_path / "epoch_1.pt"
    file.write_text("weights")
    for name in (str(file), f"ViT-B-32@{file}"):
        remember(tmp_path, name)
        (tmp_path / "epoch_2.pt").touch()
        assert identity(tmp_path, name) == IDENTITY
    assert identity(tmp_path, f"ViT-B-16@{file}") is None
    file.write_text("WEIGHTS")
    assert identity(tmp_path, str(file)) is identity(tmp_path, f"ViT-B-32@{file}") is None
    file.unlink()
    assert known(tmp_path, str(file)) is known(tmp_path, f"ViT-B-32@{file}") is None


def test_of_an_index_the_shards_are_looked_at(tmp_path: Path) -> None:
    index, shard = tmp_path / "model" / "weights.index.json", tmp_path / "model" / "shard"
    index.parent.mkdir()
    index.write_text("{}")
    shard.write_text("old")
    remember(tmp_path, f"ViT-B-32@{index}")
    shard.write_text("new")
    assert identity(tmp_path, f"ViT-B-32@{index}") is None


@pytest.mark.parametrize("name", [MODELS[0].name, f"hf-hub:{REPO}"])
def test_names_of_the_hub_are_known_as_long_as_its_cache_has_that_commit(tmp_path: Path, name: str) -> None:
    assert known(tmp_path, name) is None
    put_in_cache(tmp_path / "hub", REPO, CONFIG_FILE, *WEIGHTS_FILES)
    remember(tmp_path, name)
    (ref,) = (tmp_path / "hub").rglob("refs/main")
    snapshot = next((tmp_path / "hub").rglob("snapshots")) / ref.read_text()
    shutil.copytree(snapshot, snapshot.with_name("1" * 40))
    ref.write_text("1" * 40)
    assert identity(tmp_path, name) is None
    ref.write_text(snapshot.name)
    assert identity(tmp_path, name) == IDENTITY
    (snapshot / WEIGHTS).unlink()
    assert identity(tmp_path, name) is None
    shutil.rmtree(tmp_path / "hub")
    assert known(tmp_path, name) is None


def test_a_path_goes_before_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_cache(tmp_path / "hub", REPO, *WEIGHTS_FILES)
    monkeypatch.chdir(tmp_path)
    remember(tmp_path, MODELS[0].name)
    place = Path(MODELS[0].name)
    place.mkdir(parents=True)
    (place / CONFIG_FILE).touch()
    assert identity(tmp_path, MODELS[0].name) is None


def test_what_only_open_clip_can_find_is_not_known(tmp_path: Path) -> None:
    assert known(tmp_path, "RN50/yfcc15m") is None
    assert known(tmp_path, "no such model") is None
    with pytest.raises(ModelUnavailable, match="no name of a hub repository"):
        known(tmp_path, "hf-hub:a/b/c")


def test_the_bundled_model_is_compared_with_its_digests_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "bundled"
    folder.mkdir()
    (folder / WEIGHTS).write_text("weights")
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(b'weights').hexdigest()}  {WEIGHTS}\n")
    remember(tmp_path, BUNDLED)
    (folder / WEIGHTS).write_text("WEIGHTS")
    found = known(tmp_path, BUNDLED)
    assert found
    found.remember(IDENTITY)  # as if the time of the file did not tell
    assert found.identity is None


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:0], lambda data: data[:9] + b"?" + data[10:]]
)
def test_a_damaged_note_is_none(tmp_path: Path, model: Path, damage: Callable[[bytes], bytes]) -> None:
    remember(tmp_path, str(model))
    (file,) = (tmp_path / "cache" / "models").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert identity(tmp_path, str(model)) is None
