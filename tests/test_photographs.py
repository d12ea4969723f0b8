"""The whole of it on real photographs, against open_clip's own functions and NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import ExifTags, Image

from indexer.cli import main as indexer
from search.collection import Collection
from search.encoder import TorchEncoder, load_encoder
from search.image import decode_picture, read_file
from search.searcher import Searcher
from tests.test_image import STORED

K = 10


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


@pytest.mark.slow
def test_recall_equals_that_of_open_clip_and_brute_force(
    shared: Path, model: Path, photographs: Searcher, captions: dict[str, list[str]]
) -> None:
    queries = [(name, texts[0]) for name, texts in captions.items()]
    found = sum(name in [hit.path.name for hit in photographs.by_text(text, k=K)] for name, text in queries)
    assert found / len(queries) == pytest.approx(
        brute_force_recall(model, shared / "data" / "photos", queries), abs=5e-4
    )


def brute_force_recall(model: Path, photos: Path, queries: list[tuple[str, str]]) -> float:
    """Text-to-image recall@10 with nothing of this project: open_clip's model and preprocessing, one matrix product."""
    towers, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{model}", precision="fp32")
    towers.eval()  # it comes in training mode, in which a batch changes what a picture means to this tower
    tokenize = open_clip.get_tokenizer(f"local-dir:{model}")
    files = sorted(photos.glob("*.jpg"))
    with torch.inference_mode():
        images = torch.cat(
            [
                towers.encode_image(
                    torch.stack([preprocess(Image.open(file)) for file in files[start : start + 50]]), True
                )
                for start in range(0, len(files), 50)
            ]
        )
        texts = torch.cat(
            [
                towers.encode_text(tokenize([text for _, text in queries[start : start + 100]]), True)
                for start in range(0, len(queries), 100)
            ]
        )
    nearest = (texts @ images.T).topk(K).indices.numpy()
    names = np.array([file.name for file in files])
    return float(np.mean([name in names[row] for (name, _), row in zip(queries, nearest, strict=True)]))


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
