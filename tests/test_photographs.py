"""The whole of it on real photographs, against open_clip's own functions and NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import open_clip
import pytest
import torch
from PIL import ExifTags, Image

from indexer.cli import main as indexer
from search.collection import Collection
from search.encoder import load_encoder
from search.image import decode_picture
from search.paths import read_file
from search.searcher import Searcher
from search.torch_encoder import TorchEncoder
from tests.test_image import STORED

K = 10
T = TypeVar("T")


@pytest.fixture(scope="module")
def model(shared: Path) -> Path:
    return shared / "models" / "f8k-mnv2"


@pytest.fixture(scope="module")
def encoder(model: Path) -> TorchEncoder:
    return load_encoder(str(model))


@pytest.fixture(scope="module")
def photographs(shared: Path, model: Path, encoder: TorchEncoder, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """A collection of the 1,000 photographs, made by the command line."""
    directory = tmp_path_factory.mktemp("photographs")
    words = ["build", str(shared / "data" / "photos"), "--model", str(model), "--collection", str(directory)]
    assert indexer(words) == 0
    return Searcher(Collection.open(directory), lambda: encoder)


@pytest.fixture(scope="module")
def captions(shared: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = json.loads((shared / "data" / "photos.captions.json").read_text())
    return texts


@pytest.fixture(scope="module")
def by_open_clip(shared: Path, model: Path, captions: dict[str, list[str]]) -> np.ndarray:
    """(pictures, captions) cosines with nothing of this project: open_clip's model and preprocessing.

    Pictures are in the order of their names, as a collection has them; captions are all that there
    are.
    """
    towers, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{model}", precision="fp32")
    towers.eval()  # it comes in training mode, in which a batch changes what a picture means to this tower
    tokenize = open_clip.get_tokenizer(f"local-dir:{model}")
    files = [shared / "data" / "photos" / name for name in sorted(captions)]
    texts = [text for name in sorted(captions) for text in captions[name]]
    with torch.inference_mode():
        images = torch.cat(
            [
                towers.encode_image(torch.stack([preprocess(Image.open(file)) for file in some]), True)
                for some in batched(files, 50)
            ]
        )
        rows = torch.cat([towers.encode_text(tokenize(list(some)), True) for some in batched(texts, 100)])
    return (images.half().float() @ rows.T).numpy()


def batched(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@pytest.mark.slow
def test_recall_equals_that_of_open_clip_and_brute_force(
    photographs: Searcher, captions: dict[str, list[str]], by_open_clip: np.ndarray
) -> None:
    queries = [(name, captions[name][0]) for name in sorted(captions)]
    found = sum(name in [hit.path.name for hit in photographs.by_text(text, k=K)] for name, text in queries)
    first = np.argsort(-by_open_clip[:, ::5], axis=0)[:K]
    assert found / len(queries) == pytest.approx((first == np.arange(len(queries))).any(axis=0).mean(), abs=5e-4)


@pytest.mark.slow
def test_eval_retrieval_equals_open_clip_and_brute_force(
    shared: Path, photographs: Searcher, by_open_clip: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--captions", str(shared / "data" / "photos.captions.json"), "--json"]
    assert indexer(["eval", "retrieval", "--collection", str(photographs.collection.directory), *words]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pictures"], facts["captions"]) == (1000, 5000)
    assert facts["captions_per_picture"] == {"least": 5, "most": 5}
    owners = np.repeat(np.arange(1000), 5)
    right = {
        "text_to_image": np.take_along_axis(np.arange(1000)[:, None] == owners, np.argsort(-by_open_clip, axis=0), 0),
        "image_to_text": (owners[np.argsort(-by_open_clip, axis=1)] == np.arange(1000)[:, None]).T,
    }
    for direction, in_order in right.items():
        ranks = 1 + in_order.argmax(axis=0)
        for k in (1, 5, 10):
            assert facts[direction]["recall"][str(k)] == pytest.approx(np.mean(ranks <= k), abs=5e-4)
        assert facts[direction]["median_rank"] == np.median(ranks)


def test_a_photograph_as_a_query_finds_itself_first(photographs: Searcher, shared: Path) -> None:
    for file in sorted((shared / "data" / "photos").glob("*.jpg"))[::50]:
        (hit,) = photographs.by_image(file, k=1)
        assert hit.path.name == file.name
        assert hit.score == pytest.approx(1, abs=1e-3)


def test_every_exif_orientation_of_a_photograph_has_the_same_embedding(
    shared: Path, encoder: TorchEncoder, tmp_path: Path
) -> None:
    """Stored without loss: a JPEG's blocks fall elsewhere in a turned picture, which is another picture then."""
    with Image.open(shared / "data" / "native" / "n02107312_miniature_pinscher.JPEG") as file:
        upright = file.convert("RGB")
    upright.save(tmp_path / "1.png")
    for orientation, turn in STORED.items():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        upright.transpose(turn).save(tmp_path / f"{orientation}.png", exif=exif)
    rows = encoder.encode_images([decode(tmp_path / f"{orientation}.png") for orientation in range(1, 9)])
    assert (rows @ rows.T).min() >= 0.999


def decode(file: Path) -> Image.Image:
    return decode_picture(read_file(file), max_pixels=10**8).image
