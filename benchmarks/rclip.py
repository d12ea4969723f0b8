"""rclip and a build on the same pictures, with the same tower: each a command from the shell, in turns.

    python -m benchmarks.rclip RCLIP [PICTURES [ROUNDS]]

RCLIP is its command, in an environment of its own ("pip install rclip"; 3.3.0 was tried). It downloads its model; here
it finds one with random weights where it looks, of the same architecture, exported to ONNX. Every round indexes 1024 x
768 JPEGs anew. rclip is asked with a picture, as it has no command that only indexes, which adds this picture to its
work. The vectors that both have stored are compared.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.towers import compare, make_model
from indexer.bench_pictures import SMALL, make_pictures
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.collection import Collection
from search.settings import PROJECT

ARCHITECTURE = "ViT-B-32-256"
PLACE = "ViT-B-32-256-datacomp_s34b_b86k"
"""Where rclip keeps its model, below its folder."""


def main(rclip: str, pictures: int = 128, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        model, folder = place / "model", place / "pictures"
        make_model(model, ARCHITECTURE)
        make_pictures(folder, pictures, SMALL, ("jpg",), seed=0)
        data = place / "rclip"
        give_model(model, data)
        ways = {
            "rclip": partial(run_rclip, rclip, folder, data),
            "build": partial(run_build, folder, model, place),
            "build --keypoints 0": partial(run_build, folder, model, place, "--keypoints", "0"),
        }
        title = f"{pictures} pictures, images a second, starting and all"
        compare(title, ways, rounds, lambda seconds: f"{pictures / seconds:.1f}")
        print(f"least cosine between their vectors: {least_cosine(stored(data), place / 'collection'):.6f}")


def give_model(model: Path, data: Path) -> None:
    """Write what rclip looks for: the towers as ONNX files, of which the text tower is only there, and the tokens."""
    towers: Any = build_model(find_checkpoint(str(model))).towers
    size = towers.visual.image_size
    (data / PLACE).mkdir(parents=True)
    pixels = torch.zeros(2, 3, *size)
    torch.onnx.export(
        towers.visual,
        (pixels,),
        data / PLACE / "visual.onnx",
        input_names=["input"],
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("n", min=1, max=1 << 20)},),
        verbose=False,
    )
    for unread in (data / PLACE / "textual.onnx", data / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz"):
        unread.parent.mkdir(exist_ok=True)
        unread.touch()


def run_rclip(rclip: str, folder: Path, data: Path) -> None:
    database = data / "db.sqlite3"
    database.unlink(missing_ok=True)
    asked = next(folder.iterdir())
    environment = {**os.environ, "RCLIP_DATADIR": str(data)}
    subprocess.run([rclip, str(asked), "--top", "1"], cwd=folder, env=environment, check=True, capture_output=True)


def run_build(folder: Path, model: Path, place: Path, *options: str) -> None:
    """The towers are exported by the first, which is not counted."""
    directory = place / "collection"
    shutil.rmtree(directory, ignore_errors=True)
    environment = {**os.environ, "IMAGE_SEARCH_CACHE": str(place / "cache")}
    words = ["build", str(folder), "--model", str(model), "--collection", str(directory), *options]
    command = [sys.executable, "-m", "indexer", *words]
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)


def stored(data: Path) -> dict[str, NDArray[np.float32]]:
    """Of every picture that rclip has stored, by its path, the vector: (dim,)."""
    with closing(sqlite3.connect(data / "db.sqlite3")) as database:
        rows = database.execute("SELECT filepath, vector FROM images").fetchall()
    return {path: np.frombuffer(vector, np.float32) for path, vector in rows}


def least_cosine(theirs: Mapping[str, NDArray[np.floating]], directory: Path) -> float:
    """Of their vectors, (dim,), with those of the same pictures in our collection, which must be the same pictures."""
    with closing(Collection.open(directory)) as collection:
        assert set(collection.catalog.paths()) == theirs.keys()
        ours = collection.catalog.bulk.vectors_at(list(theirs))
    return min(float(np.frombuffer(ours[path], np.float32) @ unit(vector)) for path, vector in theirs.items())


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    single = vector.astype(np.float32)
    return single / np.linalg.norm(single)


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:]))
