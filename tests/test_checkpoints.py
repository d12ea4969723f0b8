"""Names to files to models, against open_clip's own factory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from search.building import build_model
from search.checkpoints import find_checkpoint
from search.errors import ModelUnavailable
from search.models import BUNDLED, CONFIG_FILE, WEIGHTS_FILES, Hub
from search.settings import BUNDLED_MODEL
from tests.test_models import needs_online_mode, put_in_cache, serve_hub, unreachable_hub

VISION = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
TINY = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}
COCA: dict[str, Any] = {
    "custom_text": True,
    "vision_cfg": {**VISION, "attentional_pool": True, "output_tokens": True},
    "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**TEXT, "dim_head": 16, "attn_pooler_heads": 2},
}


def tiny_clip(**changes: Any) -> torch.nn.Module:
    """A CLIP, or a CoCa, of small transformers with the same random weights every time."""
    torch.manual_seed(7)
    cfg = {**TINY, **changes}
    kind = open_clip.CoCa if cfg.pop("custom_text", False) else open_clip.CLIP
    model: torch.nn.Module = kind(**cfg)
    return model


def save_tiny_clip(folder: Path, *, preprocess_cfg: dict[str, Any] | None = None, **changes: Any) -> Path:
    """An open_clip local directory with `tiny_clip` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": {**TINY, **changes}, "preprocess_cfg": preprocess_cfg or {}}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    save_file(tiny_clip(**changes).state_dict(), folder / WEIGHTS_FILES[0])
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """A hub that cannot be reached, with an empty cache."""
    return unreachable_hub(tmp_path / "cache")


def assert_same_weights(model: Any, reference: Any) -> None:
    weights, expected = model.state_dict(), reference.state_dict()
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name


def test_a_directory_loads_without_a_network_as_open_clip_loads_it(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "tiny", quick_gelu=True, preprocess_cfg={"mean": [0.5, 0.5, 0.5]})
    loaded = build_model(find_checkpoint(str(folder), hub=hub))
    reference, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    assert_same_weights(loaded.towers, reference)
    assert "QuickGELU" in str(loaded.towers)
    assert str(loaded.towers) == str(reference)
    assert str(loaded.transform) == str(preprocess)
    texts = ["a dog", "two cats in the snow"]
    assert torch.equal(loaded.tokenizer(texts), open_clip.get_tokenizer(f"local-dir:{folder}")(texts))


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_text": True},
        {"vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}},
        COCA,
    ],
    ids=["custom text", "timm", "coca"],
)
def test_every_class_of_model_is_built_as_open_clip_builds_it(
    tmp_path: Path, hub: Hub, changes: dict[str, Any]
) -> None:
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_cfg": {**TINY, **changes}}))
    random_model = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False)
    torch.save(random_model.state_dict(), tmp_path / WEIGHTS_FILES[1])
    loaded = build_model(find_checkpoint(str(tmp_path), hub=hub))
    assert type(loaded.towers) is type(random_model)
    assert_same_weights(loaded.towers, random_model)


def test_the_identity_says_what_was_loaded(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    identity = build_model(find_checkpoint(str(folder), hub=hub)).identity
    assert identity.model == str(folder.resolve())
    assert identity.dim == 32
    assert identity.weights_digest == hashlib.sha256((folder / WEIGHTS_FILES[0]).read_bytes()).hexdigest()
    assert json.loads(identity.preprocessing)["size"] == [32, 32]
    assert json.loads(identity.preprocessing)["interpolation"] == "bicubic"


def test_the_name_in_the_identity_loads_the_model_again_from_another_directory(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_clip(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    name = find_checkpoint("tiny", hub=hub).name
    monkeypatch.chdir("/")
    assert find_checkpoint(name, hub=hub).weights == tmp_path.resolve() / "tiny" / WEIGHTS_FILES[0]


def test_spelled_out_defaults_are_the_same_space_and_another_activation_is_not(tmp_path: Path, hub: Hub) -> None:
    def identity_of(name: str, **changes: Any) -> Any:
        return build_model(find_checkpoint(str(save_tiny_clip(tmp_path / name, **changes)), hub=hub)).identity

    plain = identity_of("plain")
    vision = {**VISION, "mlp_ratio": 4.0, "patch_dropout": 0.5}
    assert plain.same_space(identity_of("spelled-out", vision_cfg=vision, quick_gelu=False))
    assert not plain.same_space(identity_of("quick-gelu", quick_gelu=True))
    assert not plain.same_space(identity_of("resized", preprocess_cfg={"resize_mode": "squash"}))


@pytest.mark.parametrize("filename", ["open_clip_pytorch_model.bin", "mine.pt"])
def test_pickled_weights_load_too(tmp_path: Path, hub: Hub, filename: str) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    (folder / WEIGHTS_FILES[0]).unlink()
    torch.save({"state_dict": tiny_clip().state_dict()}, folder / filename)
    assert_same_weights(build_model(find_checkpoint(str(folder), hub=hub)).towers, tiny_clip())


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    (folder / WEIGHTS_FILES[0]).unlink()
    torch.save(_Exploit(tmp_path / "ran"), folder / WEIGHTS_FILES[1])
    with pytest.raises(ModelUnavailable, match=WEIGHTS_FILES[1]):
        build_model(find_checkpoint(str(folder), hub=hub))
    assert not (tmp_path / "ran").exists()


class _Exploit:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("filename", WEIGHTS_FILES)
def test_damaged_weights_are_one_error_that_names_the_file(tmp_path: Path, hub: Hub, filename: str) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    (folder / WEIGHTS_FILES[0]).unlink()
    state = tiny_clip().state_dict()
    save_file(state, folder / filename) if filename.endswith("safetensors") else torch.save(state, folder / filename)
    checkpoint = find_checkpoint(str(folder), hub=hub)
    whole = checkpoint.weights.read_bytes()
    noise = random.Random(5).randbytes(5000)
    for damaged in (b"", whole[:7], whole[:1000], whole[:-1000], whole[: len(whole) // 2], noise, b"{}"):
        checkpoint.weights.write_bytes(damaged)
        with pytest.raises(ModelUnavailable, match=filename):
            build_model(checkpoint)


@pytest.mark.parametrize("content", [{}, [], torch.zeros(3), {"state_dict": {}}, {"epoch": 3}, "text"])
def test_pickles_of_something_else_are_one_error_that_names_the_file(tmp_path: Path, hub: Hub, content: object) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    weights = folder / "weights.pt"
    torch.save(content, weights)
    with pytest.raises(ModelUnavailable, match=r"weights\.pt"):
        build_model(dataclasses.replace(find_checkpoint(str(folder), hub=hub), weights=weights))


def test_weights_of_another_architecture_are_refused_naming_the_file_and_a_weight(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    deeper = {**TINY, "vision_cfg": {**VISION, "layers": 3}}
    (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": deeper}))
    with pytest.raises(ModelUnavailable, match=r"(?s)open_clip_model\.safetensors.*visual\.transformer") as caught:
        build_model(find_checkpoint(str(folder), hub=hub))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "config",
    ["", "{", "[]", "{}", '{"model_cfg": 3}', '{"model_cfg": {"embed_dim": 32}}', '{"model_cfg": {"vision_cfg": 1}}'],
)
def test_a_broken_configuration_is_refused_naming_the_file(tmp_path: Path, hub: Hub, config: str) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    (folder / CONFIG_FILE).write_text(config)
    with pytest.raises(ModelUnavailable, match=CONFIG_FILE):
        find_checkpoint(str(folder), hub=hub)


@pytest.mark.parametrize("vision", [{"layers": "many"}, {"unheard_of": 1}, {"timm_model_name": "no_such_tower"}])
def test_a_configuration_that_makes_no_model_is_refused_naming_the_model(
    tmp_path: Path, hub: Hub, vision: dict[str, Any]
) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": {**TINY, "vision_cfg": vision}}))
    with pytest.raises(ModelUnavailable, match="tiny: its configuration makes no model"):
        build_model(find_checkpoint(str(folder), hub=hub))


def test_a_directory_of_another_library_says_what_was_found(tmp_path: Path, hub: Hub) -> None:
    for name in ("model-a.safetensors", "model-b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(ModelUnavailable, match=r"no open_clip_config\.json.*\(found: model-a\.safetensors, model-b"):
        find_checkpoint(str(tmp_path), hub=hub)


def test_two_weights_files_without_the_usual_name_are_not_guessed_between(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    (folder / WEIGHTS_FILES[0]).rename(folder / "epoch_1.pt")
    (folder / "epoch_2.pt").touch()
    with pytest.raises(ModelUnavailable, match=r"one weights file.*epoch_1\.pt, epoch_2\.pt"):
        find_checkpoint(str(folder), hub=hub)


def test_a_bare_name_is_looked_for_in_the_models_folder(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "models" / "mine")
    assert find_checkpoint("mine", models=tmp_path / "models", hub=hub).name == str(folder.resolve())


def test_the_bundled_model_goes_by_its_name(tmp_path: Path, hub: Hub) -> None:
    folder = save_tiny_clip(tmp_path / "bundled")
    with pytest.raises(ModelUnavailable, match=r"is damaged .*SHA256SUMS.*fetch it again"):
        find_checkpoint(BUNDLED, hub=hub, bundled=folder)
    files = (folder / CONFIG_FILE, folder / WEIGHTS_FILES[0])
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(sums))
    assert find_checkpoint(BUNDLED, hub=hub, bundled=folder).name == BUNDLED
    for file in files:
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[-9] ^= 1
        file.write_bytes(flipped)
        with pytest.raises(ModelUnavailable, match="is damaged"):
            find_checkpoint(BUNDLED, hub=hub, bundled=folder)
        file.write_bytes(whole)
    with pytest.raises(ModelUnavailable, match="absent is no directory"):
        find_checkpoint(BUNDLED, hub=hub, bundled=tmp_path / "absent")


@pytest.mark.skipif(not BUNDLED_MODEL.is_dir(), reason=f"{BUNDLED_MODEL} is not there")
def test_the_model_that_ships_loads(hub: Hub) -> None:
    assert build_model(find_checkpoint(BUNDLED, hub=hub)).identity.model == BUNDLED


def test_an_architecture_without_a_tag_lists_its_tags(hub: Hub) -> None:
    with pytest.raises(ModelUnavailable, match=r"name the weights too, one of .*ViT-L-14/openai"):
        find_checkpoint("ViT-L-14", hub=hub)
    with pytest.raises(ModelUnavailable, match=r"ViT-L-14-336/openai"):
        find_checkpoint("ViT-L-14-336/opnai", hub=hub)


def test_a_misspelt_name_gets_the_closest_and_what_is_here(tmp_path: Path, hub: Hub) -> None:
    save_tiny_clip(tmp_path / "models" / "mine")
    with pytest.raises(ModelUnavailable, match=r"closest known names are .*ViT-B-32/openai") as caught:
        find_checkpoint("VitB32/openai", models=tmp_path / "models", hub=hub)
    assert "Models on this machine: mine" in str(caught.value)


@pytest.mark.parametrize("name", ["ViT-B-32/openai", "hf-hub:somebody/a-model"])
def test_a_hub_that_cannot_be_reached_names_the_ways_out(name: str, hub: Hub) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        find_checkpoint(name, hub=hub)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "hf download" in message
    assert "Models on this machine" in message


@pytest.mark.skipif(find_spec("transformers") is not None, reason="the package transformers is installed")
def test_a_tokenizer_of_another_package_is_told_before_anything_is_downloaded(hub: Hub) -> None:
    with pytest.raises(ModelUnavailable, match="pip install transformers"):
        find_checkpoint("ViT-B-16-SigLIP/webli", hub=hub)


@pytest.mark.parametrize(
    ("name", "quick_gelu"),
    [("ViT-B-32/openai", True), ("ViT-B-16/dfn2b", True), ("ViT-B-32/laion2b_s34b_b79k", False)],
)
def test_registry_weights_get_the_activation_they_were_trained_with(
    tmp_path: Path, name: str, quick_gelu: bool
) -> None:
    repo = open_clip.pretrained.get_pretrained_cfg(*name.split("/"))["hf_hub"].rstrip("/")
    put_in_cache(tmp_path, repo, *WEIGHTS_FILES)
    checkpoint = find_checkpoint(name, hub=Hub(cache=tmp_path))
    assert checkpoint.model_cfg["quick_gelu"] is quick_gelu
    assert checkpoint.weights.name == WEIGHTS_FILES[0]
    assert open_clip.get_model_config("ViT-B-32").get("quick_gelu") is None


def test_openai_weights_out_of_a_hub_repository_get_quick_gelu_whatever_its_configuration_says(tmp_path: Path) -> None:
    repo = "timm/vit_base_patch32_clip_224.openai"
    put_in_cache(tmp_path, repo, CONFIG_FILE, *WEIGHTS_FILES)
    (config,) = tmp_path.rglob(CONFIG_FILE)
    config.write_text(json.dumps({"model_cfg": TINY}))
    assert find_checkpoint(f"hf-hub:{repo}", hub=Hub(cache=tmp_path)).model_cfg["quick_gelu"] is True


@needs_online_mode
def test_a_model_comes_from_the_hub_once_and_then_without_it(tmp_path: Path) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serve_hub(files, tmp_path / "cache") as hub:
        first = build_model(find_checkpoint("hf-hub:somebody/a-model", hub=hub))
    again = build_model(find_checkpoint("hf-hub:somebody/a-model", hub=hub))
    assert_same_weights(again.towers, tiny_clip())
    assert first.identity == again.identity
    assert again.identity.model == "hf-hub:somebody/a-model"
    assert again.identity.same_space(build_model(find_checkpoint(str(folder), hub=hub)).identity)
