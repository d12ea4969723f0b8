"""timm's image towers, saved by timm and loaded here, against timm itself; collections of images alone."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.data import create_transform
from timm.data.config import resolve_data_config
from timm.models import save_for_hf
from torch.nn import functional

from indexer.build import Options, build
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.collection import Collection
from search.encoder import load_encoder
from search.errors import BadQuery, ModelUnavailable, NoTextTower
from search.models import Hub
from search.query import TextTerm
from search.searcher import Searcher
from search.torch_encoder import TorchEncoder
from search.types import Root
from tests.test_checkpoints import assert_same_weights, save_tiny_clip, tiny_clip
from tests.test_encoder import pictures
from tests.test_models import needs_online_mode, serve_hub, unreachable_hub
from web.app import create_app, library_of

SMALL = {"depth": 2, "embed_dim": 64, "num_heads": 2}


def tower(name: str = "vit_base_patch32_clip_224.openai", *, num_classes: int = 24, **options: Any) -> Any:
    """One of timm's CLIP towers, small, with random weights."""
    torch.manual_seed(2)
    return timm.create_model(name, num_classes=num_classes, **SMALL, **options).eval()


def save(model: Any, folder: Path, *, safe: bool = True, **data: Any) -> Path:
    save_for_hf(model, folder, safe_serialization=safe, data_config=data or None)
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return unreachable_hub(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tower(), tmp_path / "tower")


def assert_parity(folder: Path, model: Any, hub: Hub) -> None:
    """Vectors and preprocessing agree with timm to 1e-5."""
    config = json.loads((folder / "config.json").read_text())
    preprocess = create_transform(**resolve_data_config(pretrained_cfg=config["pretrained_cfg"]), is_training=False)
    theirs = torch.stack([preprocess(picture) for picture in pictures()])
    loaded = build_model(find_checkpoint(str(folder), hub=hub))
    ours = torch.stack([loaded.transform(picture) for picture in pictures()])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    with torch.inference_mode():
        expected = functional.normalize(model(theirs), dim=-1).numpy()
    encoder = load_encoder(str(folder), device="cpu", hub=hub)
    assert encoder.identity.dim == expected.shape[1]
    np.testing.assert_allclose(encoder.encode_images(pictures()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "num_classes"),
    [
        ("vit_base_patch32_clip_224.openai", 24),
        ("vit_base_patch32_clip_quickgelu_224.openai", 24),
        ("vit_large_patch14_clip_336.openai", 24),
        ("vit_base_patch32_clip_224.openai", 0),
        ("vit_base_patch16_siglip_224.webli", 0),
    ],
)
def test_a_tower_gives_the_vectors_that_timm_gives(tmp_path: Path, hub: Hub, name: str, num_classes: int) -> None:
    model = tower(name, num_classes=num_classes)
    assert_parity(save(model, tmp_path / "tower"), model, hub)


@pytest.mark.parametrize(
    "data",
    [
        {"crop_pct": 0.9},
        {"crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear"},
        {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "crop_pct": 0.7},
    ],
    ids=str,
)
def test_preprocessing_is_that_of_the_checkpoint(tmp_path: Path, hub: Hub, data: dict[str, Any]) -> None:
    model = tower()
    assert_parity(save(model, tmp_path / "tower", **data), model, hub)


def test_a_pickle_of_timm_loads_too(tmp_path: Path, hub: Hub) -> None:
    model = tower()
    assert_parity(save(model, tmp_path / "tower", safe=False), model, hub)


def test_preprocessing_that_cannot_be_had_is_said(tmp_path: Path, hub: Hub) -> None:
    folder = save(tower(), tmp_path / "tower", crop_mode="border")
    with pytest.raises(ModelUnavailable, match=r"its crop \(border"):
        find_checkpoint(str(folder), hub=hub)


def test_weights_of_another_tower_are_refused_naming_the_file(folder: Path, hub: Hub) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_args"]["depth"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=r"(?s)model\.safetensors does not fit.*blocks\.2"):
        build_model(find_checkpoint(str(folder), hub=hub))
    config["architecture"] = "no_such_tower"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=r"makes no model.*no_such_tower"):
        build_model(find_checkpoint(str(folder), hub=hub))


def test_the_same_tower_is_the_same_space_and_another_activation_is_not(folder: Path, hub: Hub) -> None:
    first = build_model(find_checkpoint(str(folder), hub=hub)).identity
    assert build_model(find_checkpoint(first.model, hub=hub)).identity == first
    config = json.loads((folder / "config.json").read_text())
    config["architecture"] = "vit_base_patch32_clip_quickgelu_224"
    (folder / "config.json").write_text(json.dumps(config))
    assert not first.same_space(build_model(find_checkpoint(str(folder), hub=hub)).identity)


@needs_online_mode
def test_a_repository_of_a_tower_alone_comes_from_the_hub_once_and_then_without_it(
    tmp_path: Path, folder: Path
) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serve_hub(files, tmp_path / "cache") as hub:
        first = build_model(find_checkpoint("hf-hub:somebody/a-tower", hub=hub)).identity
    assert build_model(find_checkpoint("hf-hub:somebody/a-tower", hub=hub)).identity == first


@needs_online_mode
def test_where_open_clips_files_are_beside_timms_both_towers_are_loaded(tmp_path: Path, folder: Path) -> None:
    """As timm/vit_large_patch14_clip_336.openai is published."""
    save_tiny_clip(folder, quick_gelu=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors"} <= set(files)
    with serve_hub(files, tmp_path / "cache") as hub:
        loaded = build_model(find_checkpoint("hf-hub:timm/a-tower.openai", hub=hub))
    assert_same_weights(loaded.towers, tiny_clip())
    assert loaded.tokenizer is not None
    assert_same_weights(build_model(find_checkpoint(str(folder), hub=hub)).towers, tiny_clip())


@pytest.fixture
def encoder(folder: Path, hub: Hub) -> TorchEncoder:
    return load_encoder(str(folder), device="cpu", hub=hub)


@pytest.fixture
def of_images(tmp_path: Path, photos: Path, encoder: TorchEncoder) -> Collection:
    """A collection of images alone; one of them has a caption beside it."""
    (photos / "red.txt").write_text("a red square")
    collection = Collection.create(tmp_path / "collection", encoder.identity)
    with collection.writing():
        report = build(
            collection,
            [Root(str(photos))],
            lambda: encoder,
            options=Options(),
            progress=lambda *_: None,
            stop=threading.Event(),
        )
    assert report.new == 3
    assert [problem for problem in report.bad_captions if "no text tower" in problem]
    return collection


def test_a_collection_of_images_alone_is_searched_by_image_and_refuses_text(
    of_images: Collection, photos: Path, encoder: TorchEncoder
) -> None:
    searcher = Searcher(of_images, lambda: encoder)
    best = searcher.by_image(photos / "red.png", k=3)
    assert best[0].path.name == "red.png"
    assert best[0].score == pytest.approx(1, abs=1e-3)
    assert len(searcher.by_id(best[0].id)) == 2
    with pytest.raises(BadQuery, match="no text tower; ask with a picture or an image's id"):
        searcher.by_text("a red square")
    with pytest.raises(NoTextTower):
        searcher.page([TextTerm("red"), TextTerm("blue", -1.0)])


def test_the_server_of_images_alone_is_ready_and_refuses_text_with_the_reason(
    of_images: Collection, encoder: TorchEncoder, photos: Path
) -> None:
    app = create_app([of_images], lambda _: encoder)
    library_of(app).warm()
    client = app.test_client()
    assert client.get("/api/v1/ready").status_code == 200
    refused = client.get("/api/v1/search?q=red")
    assert refused.status_code == 400
    assert "no text tower" in refused.get_json()["error"]["message"]
    assert str(photos.parent) not in refused.text
    by_image = client.post("/api/v1/embed", data={"images": (photos / "red.png").open("rb")})
    assert by_image.status_code == 200
