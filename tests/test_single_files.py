"""A weights file of open_clip alone: of the architecture that its shapes tell, or that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file

from search.architectures import construct, misfit, named_by_shapes
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.errors import ModelUnavailable
from search.models import Hub
from search.weights import read_weights
from tests.test_checkpoints import assert_same_weights, tiny_clip
from tests.test_models import unreachable_hub


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return unreachable_hub(tmp_path / "cache")


@pytest.fixture(scope="module")
def vit_s() -> Any:
    """The smallest of open_clip's architectures, ViT-S-32-alt, with random weights."""
    torch.manual_seed(1)
    return open_clip.create_model("ViT-S-32-alt").eval()


def expected_transform(model: Any) -> str:
    return str(image_transform_v2(PreprocessCfg(size=model.visual.image_size), is_train=False))


def assert_loads(name: str, model: Any, hub: Hub) -> None:
    """Weights and logit_scale equal, vectors to 1e-5, preprocessing alike."""
    loaded: Any = build_model(find_checkpoint(name, hub=hub))
    assert_same_weights(loaded.towers, model)
    assert str(loaded.towers) == str(model)
    assert str(loaded.transform) == expected_transform(model)
    pixels = torch.randn(2, 3, *model.visual.image_size)
    tokens = loaded.tokenizer(["a dog", "two cats in the snow"])
    assert torch.equal(tokens, open_clip.tokenize(["a dog", "two cats in the snow"]))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.towers.encode_image(pixels), model.encode_image(pixels), atol=1e-5, rtol=0)
        torch.testing.assert_close(loaded.towers.encode_text(tokens), model.encode_text(tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize("filename", ["weights.safetensors", "weights.pt", "epoch_3.pt", "no-suffix"])
def test_a_file_of_shapes_that_one_architecture_has_needs_no_name(
    tmp_path: Path, hub: Hub, vit_s: Any, filename: str
) -> None:
    state, file = vit_s.state_dict(), tmp_path / filename
    if filename == "epoch_3.pt":
        wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"epoch": 3, "name": "mine", "state_dict": wrapped, "optimizer": {"lr": 0.1}}, file)
    elif filename == "weights.pt":
        torch.save(state, file)
    else:
        save_file(state, file)
    assert_loads(str(file), vit_s, hub)


def test_weights_in_a_file_of_the_wrong_suffix_are_told_by_their_content(tmp_path: Path, hub: Hub, vit_s: Any) -> None:
    save_file(vit_s.state_dict(), tmp_path / "weights.bin")
    torch.save(vit_s.state_dict(), tmp_path / "weights.safetensors")
    assert_loads(str(tmp_path / "weights.bin"), vit_s, hub)
    assert_loads(str(tmp_path / "weights.safetensors"), vit_s, hub)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["ViT-B-32", "ViT-B-32-quickgelu"])
def test_where_the_shapes_do_not_tell_the_architecture_is_said(tmp_path: Path, hub: Hub, architecture: str) -> None:
    torch.manual_seed(1)
    model = open_clip.create_model(architecture).eval()
    file = tmp_path / "ViT-B-32.pt"
    torch.save(model.state_dict(), file)
    with pytest.raises(ModelUnavailable, match=r"ARCHITECTURE@FILE, one of .*ViT-B-32, ViT-B-32-quickgelu"):
        find_checkpoint(str(file), hub=hub)
    assert_loads(f"{architecture}@{file}", model, hub)


def test_the_name_in_the_identity_loads_the_file_again(
    tmp_path: Path, hub: Hub, vit_s: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(vit_s.state_dict(), tmp_path / "a@b.safetensors")
    monkeypatch.chdir(tmp_path)
    inferred = build_model(find_checkpoint("a@b.safetensors", hub=hub)).identity
    said = build_model(find_checkpoint("ViT-S-32-alt@a@b.safetensors", hub=hub)).identity
    monkeypatch.chdir("/")
    assert said.model == f"ViT-S-32-alt@{tmp_path.resolve()}/a@b.safetensors"
    for identity in (inferred, said):
        assert build_model(find_checkpoint(identity.model, hub=hub)).identity == identity
    assert inferred.same_space(said)


@pytest.mark.parametrize("architecture", ["ViT-B-16-SigLIP", "coca_ViT-B-32", "RN50", "MobileCLIP-S1"])
def test_shapes_tell_architectures_of_every_kind_of_tower(architecture: str) -> None:
    """On the meta device, where a model takes no memory."""
    cfg = open_clip.get_model_config(architecture)
    with torch.device("meta"):
        state = construct(cfg).state_dict()
    try:
        assert named_by_shapes(state) == architecture
    except ModelUnavailable as error:
        assert architecture in str(error).partition("one of ")[2].split(", ")


def test_an_architecture_that_is_not_known_gets_the_closest(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.raises(ModelUnavailable, match=r"no architecture 'ViTB-32'; the closest known names are .*ViT-B-32"):
        find_checkpoint(f"ViTB-32@{tmp_path}/weights.pt", hub=hub)
    with pytest.raises(ModelUnavailable, match=r"there is no file .*absent\.pt"):
        find_checkpoint(f"ViT-B-32@{tmp_path}/absent.pt", hub=hub)


def test_weights_of_another_architecture_than_said_name_what_they_are(tmp_path: Path, hub: Hub, vit_s: Any) -> None:
    save_file(vit_s.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(ModelUnavailable, match=r"it holds an image tower of 12 layers of width 384, patch 32"):
        find_checkpoint(f"ViT-B-32@{tmp_path}/weights.safetensors", hub=hub)
    torch.save(open_clip.create_model("RN50").state_dict(), tmp_path / "resnet.pt")
    with pytest.raises(ModelUnavailable, match=r"resnet\.pt is no ViT-S-16-alt.*\[3, 4, 6, 3\] layers.*, a ResNet"):
        find_checkpoint(f"ViT-S-16-alt@{tmp_path}/resnet.pt", hub=hub)


def test_position_embeddings_of_another_image_size_are_a_misfit_and_not_resized() -> None:
    with torch.device("meta"):
        state = construct(open_clip.get_model_config("ViT-B-32")).state_dict()
    assert misfit(state, open_clip.get_model_config("ViT-B-32")) is None
    assert misfit(state, open_clip.get_model_config("ViT-B-32-256")) == "visual.positional_embedding"


def test_weights_of_no_architecture_of_open_clip_name_what_they_are(tmp_path: Path, hub: Hub) -> None:
    save_file(tiny_clip().state_dict(), tmp_path / "tiny.safetensors")
    with pytest.raises(ModelUnavailable, match=r"image tower of 2 layers of width 64, patch 8, 32 pixels.*is none of"):
        find_checkpoint(str(tmp_path / "tiny.safetensors"), hub=hub)
    save_file({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "else.safetensors")
    with pytest.raises(ModelUnavailable, match=r"it holds 2 tensors such as a, b, which is none"):
        find_checkpoint(str(tmp_path / "else.safetensors"), hub=hub)


def test_weights_of_transformers_without_their_configuration_say_what_is_missing(tmp_path: Path, hub: Hub) -> None:
    state = {"vision_model.post_layernorm.weight": torch.zeros(3), "text_projection.weight": torch.zeros(3)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelUnavailable, match=r"weights of transformers; give the directory with its config\.json"):
        find_checkpoint(str(tmp_path / "model.safetensors"), hub=hub)


@pytest.mark.parametrize("content", [b"", b"{}", b"GIF89a", b"\x00" * 100, b"PK\x03\x04 and then nothing"])
def test_a_file_that_holds_no_weights_is_one_error(tmp_path: Path, hub: Hub, content: bytes) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"weights\.pt is damaged or no weights file"):
        find_checkpoint(str(tmp_path / "weights.pt"), hub=hub)


def test_a_pickle_of_more_than_tensors_is_refused_without_advice_to_trust_it(tmp_path: Path, hub: Hub) -> None:
    torch.save({"weights": Path("x")}, tmp_path / "weights.pt")
    with pytest.raises(ModelUnavailable, match="what asks for more is refused") as refused:
        find_checkpoint(str(tmp_path / "weights.pt"), hub=hub)
    assert "weights_only" not in str(refused.value)


def test_an_index_that_points_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
    with pytest.raises(ModelUnavailable, match=r"outside its folder: \.\./elsewhere"):
        read_weights(index)
