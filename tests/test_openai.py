"""OpenAI's TorchScript archives and the state dicts saved from them, against the module that was scripted."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file
from torch.nn import functional

from search.building import build_model
from search.checkpoints import find_checkpoint
from search.encoder import load_encoder
from search.errors import ModelUnavailable
from search.models import Hub
from search.torchscript import read_torchscript
from tests.openai_clip import OpenAIClip
from tests.test_encoder import TEXTS, pictures
from tests.test_models import unreachable_hub

# torch calls saving as TorchScript deprecated, by several names; what is published so stays so.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:Warning")


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return unreachable_hub(tmp_path / "cache")


def openai_clip(**sizes: int) -> Any:
    torch.manual_seed(5)
    return OpenAIClip(**sizes).eval()


def save_archive(model: Any, file: Path) -> Path:
    torch.jit.script(model).save(str(file))
    return file


def assert_parity(name: Path | str, model: Any, hub: Hub) -> None:
    """Vectors of both towers, the scale and the preprocessing agree to 1e-5."""
    loaded = build_model(find_checkpoint(str(name), hub=hub))
    size = int(model.input_resolution)
    preprocess = image_transform_v2(PreprocessCfg(size=(size, size)), is_train=False)
    assert str(loaded.transform) == str(preprocess)
    with torch.inference_mode():
        images = functional.normalize(model.encode_image(torch.stack([preprocess(p) for p in pictures()])), dim=-1)
        texts = functional.normalize(model.encode_text(open_clip.tokenize(TEXTS)), dim=-1)
    encoder = load_encoder(str(name), device="cpu", hub=hub)
    np.testing.assert_allclose(encoder.encode_images(pictures()), images.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts.numpy(), atol=1e-5)
    assert loaded.towers.logit_scale.item() == pytest.approx(4.25)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sizes", [{}, {"size": 48, "patch": 16, "width": 64, "layers": 3, "dim": 32}], ids=str)
def test_an_archive_gives_the_vectors_of_the_module_in_it(tmp_path: Path, hub: Hub, sizes: dict[str, int]) -> None:
    model = openai_clip(**sizes)
    assert_parity(save_archive(model, tmp_path / "ViT-B-32.pt"), model, hub)


def test_the_name_of_the_file_does_not_matter_and_a_directory_of_it_will_do(tmp_path: Path, hub: Hub) -> None:
    model = openai_clip()
    folder = tmp_path / "mine"
    folder.mkdir()
    save_archive(model, folder / "anything.bin")
    assert_parity(folder, model, hub)
    alone = build_model(find_checkpoint(str(folder / "anything.bin"), hub=hub)).identity
    assert alone.same_space(build_model(find_checkpoint(str(folder), hub=hub)).identity)


def test_half_precision_is_read_as_it_is_stored_and_computed_in_single(tmp_path: Path, hub: Hub) -> None:
    model = openai_clip()
    archive = save_archive(openai_clip().half(), tmp_path / "half.pt")
    loaded: Any = build_model(find_checkpoint(str(archive), hub=hub)).towers
    assert loaded.visual.proj.dtype == torch.float32
    assert torch.equal(loaded.visual.proj, model.visual.proj.half().float())


def test_an_archive_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    archive = save_archive(openai_clip(), tmp_path / "ViT-B-32.pt")
    state, expected = read_torchscript(archive), torch.jit.load(archive).state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_archive_of_open_clips_own_resnet_loads(tmp_path: Path, hub: Hub) -> None:
    torch.manual_seed(3)
    vision = {"layers": [1, 2, 1, 1], "width": 16, "image_size": 64, "head_width": 64, "patch_size": None}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    model = open_clip.CLIP(40, vision, text, quick_gelu=True).eval()
    traced = open_clip.trace_model(model, batch_size=1)
    traced.save(str(tmp_path / "RN.pt"))
    loaded: Any = build_model(find_checkpoint(str(tmp_path / "RN.pt"), hub=hub)).towers
    pixels, tokens = torch.randn(2, 3, 64, 64), open_clip.tokenize(TEXTS)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.encode_image(pixels), model.encode_image(pixels), atol=1e-5, rtol=0)
        torch.testing.assert_close(loaded.encode_text(tokens), model.encode_text(tokens), atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "as a training saves it"])
def test_a_state_dict_of_an_archive_says_that_it_is_openais(tmp_path: Path, hub: Hub, wrapped: bool) -> None:
    model = openai_clip()
    state = model.state_dict()
    content = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(content if wrapped else state, tmp_path / "state.pt")
    assert_parity(tmp_path / "state.pt", model, hub)


def test_the_numbers_alone_tell_openais_weights_in_safetensors_too(tmp_path: Path, hub: Hub) -> None:
    model = openai_clip()
    save_file(model.state_dict(), tmp_path / "weights")
    assert_parity(tmp_path / "weights", model, hub)


def test_no_code_of_an_archive_is_run_or_read(tmp_path: Path, hub: Hub) -> None:
    model = openai_clip()
    whole = save_archive(model, tmp_path / "whole.pt")
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "codeless.pt", "w") as target:
        for name in source.namelist():
            if "/code/" not in name:
                target.writestr(name, source.read(name))
    assert_parity(tmp_path / "codeless.pt", model, hub)


def test_an_archive_whose_pickle_calls_something_is_refused(tmp_path: Path, hub: Hub) -> None:
    whole = save_archive(openai_clip(), tmp_path / "whole.pt")
    call = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "evil.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, call if name.endswith("/data.pkl") else source.read(name))
    with pytest.raises(ModelUnavailable, match=r"evil\.pt is damaged.*os\.system"):
        find_checkpoint(str(tmp_path / "evil.pt"), hub=hub)
    assert not (tmp_path / "ran").exists()


def test_an_archive_of_something_else_says_what_it_holds(tmp_path: Path, hub: Hub) -> None:
    save_archive(torch.nn.Linear(3, 4), tmp_path / "linear.pt")
    with pytest.raises(ModelUnavailable, match=r"none of OpenAI's models: it holds 2 tensors such as bias, weight"):
        find_checkpoint(str(tmp_path / "linear.pt"), hub=hub)


def test_a_damaged_archive_is_one_error_that_names_the_file(tmp_path: Path, hub: Hub) -> None:
    archive = save_archive(openai_clip(), tmp_path / "ViT-B-32.pt")
    whole = archive.read_bytes()
    for damaged in (whole[:-1000], whole[: len(whole) // 2], whole[:3], b""):
        archive.write_bytes(damaged)
        with pytest.raises(ModelUnavailable, match=r"ViT-B-32\.pt is damaged or no weights file"):
            find_checkpoint(str(archive), hub=hub)
