"""The towers in ONNX Runtime against the reference: the same vectors, without torch, or a refusal."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from search.building import build_model
from search.checkpoints import find_checkpoint
from search.collection import Collection
from search.encoder import Encoder, load_encoder
from search.errors import ExportRefused, ModelUnavailable
from search.exports import Exports
from search.loader import Loader
from search.onnx_encoder import OnnxEncoder, open_exported
from search.onnx_export import MOST_LEVELS, export_towers
from search.settings import PROJECT
from search.torch_encoder import TorchEncoder
from search.trial import machine
from search.types import Agreement
from tests.test_checkpoints import COCA, TEXT, save_tiny_clip
from tests.test_encoder import TEXTS, pictures

BATCHES = [1, 2, 3, 7, 9]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def cache(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the towers are exported, in fp32 and in int8, and their speeds measured."""
    cache = tmp_path_factory.mktemp("cache")
    for precision in ("fp32", "int8"):
        loader(cache).named(str(model), precision=precision)
    return cache


@pytest.fixture(scope="module")
def reference(model: Path) -> TorchEncoder:
    return load_encoder(str(model), device="cpu")


@pytest.fixture(scope="module")
def exports(cache: Path, reference: TorchEncoder) -> Exports:
    return Exports.of(cache, reference.identity)


@pytest.fixture(scope="module")
def encoder(exports: Exports, reference: TorchEncoder) -> OnnxEncoder:
    return open_exported(exports, reference.identity, threads=2)


@pytest.fixture
def copied(cache: Path, tmp_path: Path) -> Path:
    """A cache of one's own to damage."""
    return Path(shutil.copytree(cache, tmp_path / "cache"))


def loader(cache: Path, **options: object) -> Loader:
    return Loader(**{"purpose": "build", "cache": cache, "threads": 2, "device": "cpu", **options})


def test_it_fulfils_the_protocol_and_tells_what_the_reference_tells(
    encoder: OnnxEncoder, reference: TorchEncoder
) -> None:
    promised: Encoder = encoder
    assert promised.identity == reference.identity
    assert (encoder.side, encoder.context) == (reference.side, reference.context)
    assert encoder.logits == reference.logits
    assert encoder.count_tokens(TEXTS) == reference.count_tokens(TEXTS)
    texts = [*TEXTS, "雪 собака", "собака a", "12 ☃", "ｄｏｇ"]  # noqa: RUF001
    assert encoder.reads(texts) == reference.reads(texts)


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("options", [{}, {"apart": True}, {"once": True}], ids=str)
def test_pictures_have_the_vectors_of_the_reference(
    exports: Exports, reference: TorchEncoder, count: int, options: dict[str, bool]
) -> None:
    encoder = open_exported(exports, reference.identity, threads=2, **options)
    images = pictures(count)
    pixels = [encoder.preprocess(image) for image in images]
    for image, prepared in zip(images, pixels, strict=True):
        np.testing.assert_allclose(prepared, reference.preprocess(image).astype(int), atol=MOST_LEVELS)
    rows = encoder.encode_images(images)
    np.testing.assert_allclose(rows, *reference.encode_batches([np.stack(pixels)]), atol=1e-5)
    assert np.einsum("nd,nd->n", rows, reference.encode_images(images)).min() > 0.99999


@pytest.mark.parametrize("texts", [[text] for text in TEXTS] + [TEXTS, ["a photo of a dog", "a dog"]], ids=repr)
def test_texts_have_the_vectors_of_the_reference(
    encoder: OnnxEncoder, reference: TorchEncoder, texts: list[str]
) -> None:
    np.testing.assert_allclose(encoder.encode_texts(texts), reference.encode_texts(texts), atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_texts_of_any_lengths_come_out_in_their_order(
    exports: Exports, reference: TorchEncoder, threads: int
) -> None:
    texts = [" ".join(["snow"] * (7 * number % 11)) + f" {number}" for number in range(29)]
    rows = open_exported(exports, reference.identity, threads=threads).encode_texts(texts)
    np.testing.assert_allclose(rows, reference.encode_texts(texts), atol=1e-5)


def test_texts_that_are_asked_in_every_collection_are_not_computed(encoder: OnnxEncoder, exports: Exports) -> None:
    facts = exports.facts("fp32")
    assert facts
    rows = np.load(exports.part("fp32") / "texts.npy")
    np.testing.assert_array_equal(encoder.encode_texts(facts["texts"]), rows)


def test_batches_come_out_in_order_and_nothing_is_nothing(encoder: OnnxEncoder, reference: TorchEncoder) -> None:
    empty = np.empty((0, 1, 1, 3), np.uint8)
    batches = [np.stack([encoder.preprocess(image) for image in pictures(count)]) for count in (3, 1, 2)]
    found = list(encoder.encode_batches([empty, *batches, empty]))
    assert [len(rows) for rows in found] == [0, 3, 1, 2, 0]
    for rows, expected in zip(found[1:4], reference.encode_batches(batches), strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 32)


@pytest.mark.parametrize("together", [1, 3, 20])
def test_threads_may_share_it(encoder: OnnxEncoder, reference: TorchEncoder, together: int) -> None:
    texts = [f"{number} dogs" for number in range(120)]
    calls = [texts[start : start + together] for start in range(0, len(texts), together)]
    with ThreadPoolExecutor(4) as pool:
        rows = np.concatenate(list(pool.map(encoder.encode_texts, calls)))
    np.testing.assert_allclose(rows, reference.encode_texts(texts), atol=1e-5)


def test_int8_agrees_and_no_picture_changes_anothers_vector(cache: Path, reference: TorchEncoder) -> None:
    encoder = loader(cache).named(reference.identity.model, precision="int8")
    images = pictures(7)
    rows = encoder.encode_images(images)
    assert encoder.identity.same_space(reference.identity)
    assert encoder.identity.int8
    assert 0.999 <= encoder.identity.int8.cosine < 1
    assert 0.5 < encoder.identity.int8.top10 <= 1
    cosines = np.einsum("nd,nd->n", rows, reference.encode_images(images))
    assert 0.99 < cosines.min() < 0.999999
    np.testing.assert_array_equal(rows, np.concatenate([encoder.encode_images([image]) for image in images]))
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), reference.encode_texts(TEXTS), atol=1e-5)


def test_a_collections_encoder_is_loaded_without_torch_or_the_model(cache: Path, reference: TorchEncoder) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from search.loader import Loader\nfrom search.types import EncoderIdentity\n"
        "identity = EncoderIdentity.from_json(sys.argv[2])\n"
        "for purpose in ('query', 'serve', 'build'):\n"
        "    loader = Loader(purpose=purpose, cache=Path(sys.argv[1]), threads=2, device='cpu', runtime='onnx')\n"
        "    encoder = loader.of(identity)\n"
        "    encoder.encode_texts(['a dog', 'Schnee \u2603'])\n"
        "print([name for name in ('torch', 'torchvision', 'open_clip', 'onnx') if name in sys.modules])"
    )
    words = [sys.executable, "-c", program, str(cache), reference.identity.to_json()]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_name_is_opened_by_what_is_known_of_it_until_its_weights_change(tmp_path: Path) -> None:
    folder = save_tiny_clip(tmp_path / "tiny")
    told: list[str] = []
    some = loader(tmp_path / "cache", runtime="onnx", tell=told.append)
    first = some.named(str(folder)).identity
    told.clear()
    assert some.named(str(folder)).identity == first
    weights = next(folder.glob("*.safetensors"))
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert told == []
    again = some.named(str(folder)).identity
    assert "exporting" in told[0]
    assert again == load_encoder(str(folder), device="cpu").identity != first


def test_a_damaged_export_is_made_again(copied: Path, reference: TorchEncoder) -> None:
    exports = Exports.of(copied, reference.identity)
    file = exports.part("fp32") / "image.onnx.data"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    told: list[str] = []
    encoder = loader(copied, runtime="onnx", tell=told.append).of(reference.identity)
    assert isinstance(encoder, OnnxEncoder)
    assert len(told) == 1
    assert "exporting" in told[0]
    assert len(file.read_bytes()) == len(whole)


def test_what_a_single_query_finds_damaged_is_told(copied: Path, reference: TorchEncoder) -> None:
    file = Exports.of(copied, reference.identity).part("fp32") / "text.onnx"
    file.write_bytes(bytes(file.stat().st_size))
    encoder = loader(copied, purpose="query").of(reference.identity)
    with pytest.raises(ModelUnavailable, match=r"is damaged .*; remove"):
        encoder.encode_texts(["a dog"])


def test_a_single_query_exports_only_where_that_is_asked(tmp_path: Path, reference: TorchEncoder) -> None:
    assert isinstance(loader(tmp_path, purpose="query").of(reference.identity), TorchEncoder)
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize(
    ("speeds", "purpose", "runtime", "kind"),
    [
        ({"torch": 3.0, "onnx": 2.0, "onnx-apart": 1.0}, "build", "auto", TorchEncoder),
        ({"torch": 3.0, "onnx": 2.0, "onnx-apart": 1.0}, "build", "onnx", OnnxEncoder),
        ({"torch": 3.0, "onnx": 2.0, "onnx-apart": 4.0}, "build", "auto", OnnxEncoder),
        ({"torch": 3.0, "onnx": 2.0, "onnx-apart": 4.0}, "serve", "auto", TorchEncoder),
        ({"torch": 3.0, "onnx": 2.0, "onnx-apart": 4.0}, "query", "auto", OnnxEncoder),
        ({"torch": 1.0, "onnx": 2.0, "onnx-apart": 4.0}, "serve", "auto", OnnxEncoder),
        ({"torch": 1.0, "onnx": 2.0, "onnx-apart": 4.0}, "build", "torch", TorchEncoder),
    ],
)
def test_the_fastest_for_the_purpose_is_taken(
    copied: Path, reference: TorchEncoder, speeds: dict[str, float], purpose: str, runtime: str, kind: type
) -> None:
    Exports.of(copied, reference.identity).remember(machine(2), "fp32", speeds)
    some = loader(copied, purpose=purpose, runtime=runtime)
    assert type(some.of(reference.identity)) is kind
    assert type(some.named(reference.identity.model)) is (TorchEncoder if purpose == "query" else kind)


def test_speeds_are_measured_once_a_machine(cache: Path, exports: Exports) -> None:
    assert set(exports.speeds(machine(2), "fp32")) == {"torch", "onnx", "onnx-apart"}
    assert set(exports.speeds(machine(2), "int8")) == {"onnx", "onnx-apart"}
    assert exports.speeds(machine(3), "fp32") == {}
    assert all(speed > 0 for speed in exports.speeds(machine(2), "fp32").values())


def test_a_model_that_is_not_exported_stays_on_pytorch(tmp_path: Path) -> None:
    folder = save_tiny_clip(tmp_path / "tiny", preprocess_cfg={"resize_mode": "longest"})
    told: list[str] = []
    for _ in range(2):
        encoder = loader(tmp_path / "cache", tell=told.append).named(str(folder))
        assert isinstance(encoder, TorchEncoder)
    assert len([note for note in told if "exporting" in note]) == 1
    assert len([note for note in told if "stays on PyTorch" in note and "longest" in note]) == 2
    for demand in ({"precision": "int8"}, {}):
        with pytest.raises(ExportRefused, match=r"cannot be computed by ONNX Runtime: .* longest"):
            loader(tmp_path / "cache", runtime="auto" if demand else "onnx").named(str(folder), **demand)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "cut"),
    [
        ({"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}}, True),
        ({"text_cfg": {**TEXT, "pool_type": "last"}}, False),
        (COCA, False),
    ],
    ids=["ResNet", "text tower of another kind", "CoCa"],
)
def test_other_architectures_are_exported_too(tmp_path: Path, changes: dict[str, Any], cut: bool) -> None:
    folder = save_tiny_clip(tmp_path / "tiny", **changes)
    encoder = loader(tmp_path / "cache", runtime="onnx").named(str(folder), precision="int8")
    reference = load_encoder(str(folder), device="cpu")
    facts = Exports.of(tmp_path / "cache", reference.identity).facts("fp32")
    assert facts
    assert facts["cut"] is cut
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), reference.encode_texts(TEXTS), atol=1e-5)
    images = pictures(3)
    assert np.einsum("nd,nd->n", encoder.encode_images(images), reference.encode_images(images)).min() > 0.99


class Noisy(open_clip.CLIP):
    """Never gives the same vector twice."""

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        rows = super().encode_image(image, normalize)
        return rows + 0.2 * torch.randn_like(rows) * rows.std()


def test_towers_that_give_other_vectors_are_refused(model: Path, tmp_path: Path) -> None:
    loaded = build_model(find_checkpoint(str(model)))
    loaded.towers.__class__ = Noisy
    with pytest.raises(ExportRefused, match="its pictures have a cosine of only"):
        export_towers(loaded, tmp_path, threads=1)


@pytest.mark.parametrize(
    ("options", "precision", "reason"),
    [
        ({"device": "cuda:0"}, "int8", "int8 computes on the CPU, not on device 'cuda:0'"),
        ({"device": "cuda", "runtime": "onnx"}, "fp32", "--runtime onnx computes on the CPU"),
        ({"runtime": "torch"}, "int8", "int8 is computed by ONNX Runtime"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, options: dict[str, str], precision: str, reason: str
) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        loader(tmp_path, **options).named("bundled", precision=precision)


def test_an_identity_keeps_its_agreement_in_json_and_old_ones_have_none(reference: TorchEncoder) -> None:
    plain = reference.identity
    quantized = type(plain)(plain.model, *plain_fields(plain), int8=Agreement(0.9995, 0.97))
    assert type(plain).from_json(quantized.to_json()) == quantized
    assert type(plain).from_json(plain.to_json().replace('"int8": null, ', "")) == plain
    assert (plain.precision, quantized.precision) == ("fp32", "int8")


def plain_fields(identity: object) -> list[object]:
    return [getattr(identity, name) for name in ("architecture", "weights_digest", "dim", "preprocessing")]


def test_collections_built_by_either_are_searched_by_both(
    tmp_path: Path, encoder: OnnxEncoder, reference: TorchEncoder
) -> None:
    for made, asked in ((encoder, reference), (reference, encoder)):
        collection = Collection.create(tmp_path / type(made).__name__, made.identity)
        collection.require(asked.identity)
        collection.close()
