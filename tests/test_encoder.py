"""The towers, against open_clip's own preprocess and model on the same pictures and texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import Normalize

from search.building import build_model
from search.checkpoints import find_checkpoint
from search.encoder import IMAGE_BATCH, TEXT_BATCH, Encoder, load_encoder
from search.errors import ModelUnavailable
from search.fitting import FittingBatches
from search.geometry import MOST_TIMES
from search.loader import cuda_available
from search.models import WEIGHTS_FILES, Hub
from search.onnx_export import MOST_LEVELS
from search.settings import PROJECT
from search.torch_encoder import TorchEncoder, pick_device
from tests.test_checkpoints import save_tiny_clip

SHARED = PROJECT.parent / "shared"
TEXTS = ["a dog in the snow", "", "two cats, one of them black " * 30, "Schnee auf den Bäumen 雪 ☃"]
WITHOUT_GPU = pytest.mark.skipif(cuda_available(), reason="a CUDA device is here")


def pictures(count: int = 7) -> list[Image.Image]:
    """RGB noise in blocks, of shapes that need every kind of resize and crop."""
    rng = np.random.default_rng(3)
    sizes = [(32, 32), (57, 40), (40, 57), (300, 61), (9, 200), (1, 1), (640, 480)]
    blocks = (rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(count))
    return [Image.fromarray(b).resize(sizes[i % len(sizes)]) for i, b in enumerate(blocks)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TorchEncoder:
    return load_encoder(str(folder), device="cpu")


def reference_images(folder: Path, images: list[Image.Image]) -> NDArray[np.float32]:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    with torch.inference_mode():
        rows = model.eval().encode_image(torch.stack([preprocess(image) for image in images]), normalize=True)
    return np.asarray(rows)


def reference_texts(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    model = open_clip.create_model(f"local-dir:{folder}")
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
        return np.asarray(model.eval().encode_text(tokens, normalize=True))


def test_the_encoder_fulfils_the_protocol(encoder: TorchEncoder) -> None:
    promised: Encoder = encoder
    assert promised.identity.dim == 32


def test_images_are_encoded_as_open_clip_encodes_them(folder: Path, encoder: TorchEncoder) -> None:
    np.testing.assert_allclose(encoder.encode_images(pictures()), reference_images(folder, pictures()), atol=1e-5)


def test_texts_are_encoded_as_open_clip_encodes_them(folder: Path, encoder: TorchEncoder) -> None:
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), reference_texts(folder, TEXTS), atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_preprocessing_is_bit_equal_to_open_clip_in_every_resize_mode(
    tmp_path: Path, resize_mode: str, interpolation: str
) -> None:
    cfg = {"resize_mode": resize_mode, "interpolation": interpolation, "fill_color": 127, "mean": [0.1, 0.2, 0.3]}
    folder = save_tiny_clip(tmp_path / "tiny", preprocess_cfg=cfg)
    encoder = load_encoder(str(folder), device="cpu")
    _, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    assert isinstance(preprocess.transforms[-1], Normalize)
    preprocess.transforms.pop()
    for picture in pictures():
        pixels = encoder.preprocess(picture)
        assert pixels.dtype == np.uint8
        expected = preprocess(picture).permute(1, 2, 0).mul(255).round().to(torch.uint8)
        np.testing.assert_array_equal(pixels, expected.numpy())
    np.testing.assert_allclose(encoder.encode_images(pictures()), reference_images(folder, pictures()), atol=1e-5)


@pytest.mark.parametrize("resize_mode", ["shortest", "longest"])
def test_a_quick_encoder_prepares_pictures_to_a_level_or_two(tmp_path: Path, resize_mode: str) -> None:
    """As on a GPU. What `search.geometry` cannot do goes by open_clip's own steps."""
    folder = save_tiny_clip(tmp_path / "tiny", preprocess_cfg={"resize_mode": resize_mode})
    loaded = build_model(find_checkpoint(str(folder)))
    exact, quick = (TorchEncoder(loaded, torch.device("cpu"), quick=quick) for quick in (False, True))
    rng = np.random.default_rng(5)
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for h, w in ((90, 200), (200, 90), (60, 61))]
    apart = [np.abs(quick.preprocess(image).astype(int) - exact.preprocess(image)) for image in images]
    assert np.max(apart) <= MOST_LEVELS
    assert np.any(apart) == (resize_mode == "shortest")
    assert np.einsum("nd,nd->n", quick.encode_images(images), exact.encode_images(images)).min() > 0.99999


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)], ids=str)
def test_a_picture_like_a_thread_is_prepared_in_every_resize_mode(
    tmp_path: Path, resize_mode: str, size: tuple[int, int]
) -> None:
    """open_clip would make one of gigabytes, or fail."""
    encoder = load_encoder(
        str(save_tiny_clip(tmp_path / "tiny", preprocess_cfg={"resize_mode": resize_mode})), device="cpu"
    )
    picture = Image.new("RGB", size, "red")
    middle = picture if resize_mode == "squash" else picture.crop((0, 0, *np.minimum(size, MOST_TIMES).tolist()))
    np.testing.assert_array_equal(encoder.preprocess(picture), encoder.preprocess(middle))


def test_a_tower_that_is_not_square_gets_pixels_of_its_shape(tmp_path: Path) -> None:
    vision = {"image_size": [24, 40], "layers": 1, "width": 64, "head_width": 32, "patch_size": 8}
    encoder = load_encoder(str(save_tiny_clip(tmp_path / "tiny", vision_cfg=vision)), device="cpu")
    assert {encoder.preprocess(picture).shape for picture in pictures()} == {(24, 40, 3)}
    assert json.loads(encoder.identity.preprocessing)["size"] == [24, 40]


def test_rows_are_float32_of_unit_length(encoder: TorchEncoder) -> None:
    for rows in (encoder.encode_images(pictures()), encoder.encode_texts(TEXTS)):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_nothing_gives_no_rows(encoder: TorchEncoder) -> None:
    assert encoder.encode_images([]).shape == (0, 32)
    assert encoder.encode_texts([]).shape == (0, 32)
    assert list(encoder.encode_batches([])) == []
    (rows,) = encoder.encode_batches([np.empty((0, 32, 32, 3), np.uint8)])
    assert rows.shape == (0, 32)


def test_batches_give_one_output_each_in_order(encoder: TorchEncoder) -> None:
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures(10)])
    together = encoder.encode_images(pictures(10))
    outputs = list(encoder.encode_batches([pixels[:3], pixels[3:4], pixels[4:]]))
    assert [len(rows) for rows in outputs] == [3, 1, 6]
    np.testing.assert_allclose(np.concatenate(outputs), together, atol=1e-6)


def test_batches_are_asked_for_at_most_two_ahead_of_the_outputs(encoder: TorchEncoder) -> None:
    asked = 0

    def batches() -> Iterator[NDArray[np.uint8]]:
        nonlocal asked
        for _ in range(5):
            asked += 1
            yield np.zeros((2, 32, 32, 3), np.uint8)

    for given, _ in enumerate(encoder.encode_batches(batches())):
        assert asked - given <= 2


def test_a_read_only_batch_is_left_as_it_was(encoder: TorchEncoder) -> None:
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures(2)])
    before = pixels.copy()
    pixels.flags.writeable = False
    list(encoder.encode_batches([pixels]))
    np.testing.assert_array_equal(pixels, before)


def test_more_than_one_internal_batch_is_the_same_as_one_by_one(encoder: TorchEncoder) -> None:
    images = pictures(IMAGE_BATCH + 3)
    texts = [f"number {i}" for i in range(TEXT_BATCH + 3)]
    np.testing.assert_allclose(encoder.encode_images(images)[-1], encoder.encode_images(images[-1:])[0], atol=1e-6)
    np.testing.assert_allclose(encoder.encode_texts(texts)[-1], encoder.encode_texts(texts[-1:])[0], atol=1e-6)


def test_threads_may_share_one_encoder(encoder: TorchEncoder) -> None:
    texts = [[f"{name} number {i}" for i in range(5)] for name in ("dog", "cat", "bird", "horse") * 4]
    expected = [encoder.encode_texts(group) for group in texts]
    with ThreadPoolExecutor(8) as pool:
        for rows, alone in zip(pool.map(encoder.encode_texts, texts), expected, strict=True):
            np.testing.assert_allclose(rows, alone, atol=1e-6)


def test_weights_that_are_not_numbers_are_an_error_that_names_the_model(tmp_path: Path) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    weights = load_file(folder / WEIGHTS_FILES[0])
    weights["visual.proj"][0, 0] = float("nan")
    weights["text_projection"].zero_()
    save_file(weights, folder / WEIGHTS_FILES[0])
    encoder = load_encoder(str(folder), device="cpu")
    with pytest.raises(ModelUnavailable, match="tiny"):
        encoder.encode_images(pictures(1))
    with pytest.raises(ModelUnavailable, match="tiny"):
        encoder.encode_texts(["a dog"])


class MemoryIsFull(Exception):
    """What a device with little memory raises."""


class SmallDevice:
    """Doubles its rows, and holds `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.sizes: list[int] = []

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(rows))
        if len(rows) > self.capacity:
            raise MemoryIsFull
        return rows * 2


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 8, 100])
@pytest.mark.parametrize("count", [1, 2, 9, 16])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(capacity: int, count: int) -> None:
    rows = torch.arange(count)
    assert torch.equal(FittingBatches(SmallDevice(capacity), MemoryIsFull)(rows), rows * 2)


def test_the_size_that_fits_is_remembered() -> None:
    device = SmallDevice(4)
    fitting = FittingBatches(device, MemoryIsFull)
    fitting(torch.arange(16))
    assert device.sizes == [16, 8, 4, 4, 4, 4]
    fitting(torch.arange(8))
    assert device.sizes[6:] == [4, 4]


def test_a_single_row_that_does_not_fit_is_an_error_with_the_ways_out() -> None:
    with pytest.raises(ModelUnavailable, match="--device cpu"):
        FittingBatches(SmallDevice(0), MemoryIsFull)(torch.arange(4))


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    with pytest.raises(MemoryIsFull):
        FittingBatches(SmallDevice(1), MemoryError)(torch.arange(4))


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "mps"])
def test_an_unknown_device_names_the_choices(name: str) -> None:
    with pytest.raises(ModelUnavailable, match="choose auto, cpu, cuda or cuda:N"):
        pick_device(name)


@WITHOUT_GPU
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_a_gpu_names_the_choices(name: str) -> None:
    with pytest.raises(ModelUnavailable, match="choose auto or cpu"):
        pick_device(name)


@WITHOUT_GPU
def test_auto_is_the_cpu_without_a_gpu() -> None:
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")


def test_the_device_is_checked_before_the_model_is_looked_for() -> None:
    with pytest.raises(ModelUnavailable, match="no device is called 'tpu'"):
        load_encoder("no-such-model", device="tpu")


@pytest.mark.skipif(not cuda_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(folder: Path, encoder: TorchEncoder) -> None:
    on_gpu = load_encoder(str(folder), device="cuda")
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures(12)])
    batches = [pixels[:5], pixels[5:6], pixels[6:]]
    rows, expected = (np.concatenate(list(e.encode_batches(batches))) for e in (on_gpu, encoder))
    assert np.sum(rows * expected, axis=1).min() > 0.999
    assert np.sum(on_gpu.encode_texts(TEXTS) * encoder.encode_texts(TEXTS), axis=1).min() > 0.999


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
def test_a_trained_model_ranks_photographs_as_open_clip_does(tmp_path: Path) -> None:
    folder = SHARED / "models" / "f8k-mnv2"
    captions: dict[str, Any] = json.loads((SHARED / "data" / "photos.captions.json").read_text(encoding="utf-8"))
    names = sorted(captions)[:64]
    images = [Image.open(SHARED / "data" / "photos" / name).convert("RGB") for name in names]
    texts = [captions[name][0] for name in names]
    encoder = load_encoder("f8k-mnv2", device="cpu", models=folder.parent, hub=Hub(cache=tmp_path))
    rows, text_rows = encoder.encode_images(images), encoder.encode_texts(texts)
    np.testing.assert_allclose(rows, reference_images(folder, images), atol=1e-5)
    np.testing.assert_allclose(text_rows, reference_texts(folder, texts), atol=1e-5)
    found_at_1 = np.mean(np.argmax(text_rows @ rows.T, axis=1) == np.arange(len(names)))
    assert found_at_1 > 0.3
