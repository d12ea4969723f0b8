"""clip-retrieval and a build on the same pictures, with the same tower: each a command from the shell, in turns.

    python -m benchmarks.clip_retrieval COMMAND [PICTURES [ROUNDS]]

COMMAND is its command, in an environment of its own ("pip install clip-retrieval 'setuptools<81'"; 2.45.0 was tried).
Both load ViT-B/32 with the same random weights from a file. Every round embeds 1024 x 768 JPEGs anew; clip-retrieval's
command for that writes vectors to files and makes no index of them. The vectors that both have stored are compared.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet  # type: ignore[import-untyped]

from benchmarks.rclip import least_cosine, run_build
from benchmarks.towers import compare, make_model
from indexer.bench_pictures import SMALL, make_pictures

ARCHITECTURE = "ViT-B-32"
BATCH, WORKERS = 64, 2


def main(command: str, pictures: int = 128, rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        model, folder, out = place / "model", place / "pictures", place / "embeddings"
        make_model(model, ARCHITECTURE)
        make_pictures(folder, pictures, SMALL, ("jpg",), seed=0)
        ways = {
            "clip-retrieval": partial(run_clip_retrieval, command, folder, model, out),
            "build": partial(run_build, folder, model, place),
            "build --keypoints 0": partial(run_build, folder, model, place, "--keypoints", "0"),
        }
        title = f"{pictures} pictures, images a second, starting and all"
        compare(title, ways, rounds, lambda seconds: f"{pictures / seconds:.1f}")
        print(f"least cosine between their vectors: {least_cosine(stored(out), place / 'collection'):.6f}")


def run_clip_retrieval(command: str, folder: Path, model: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    options = {
        "input_dataset": folder,
        "output_folder": out,
        "enable_text": False,
        "clip_model": f"open_clip:{ARCHITECTURE}/{model / 'open_clip_model.safetensors'}",
        "use_jit": False,
        "batch_size": BATCH,
        "num_prepro_workers": WORKERS,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    subprocess.run([command, "inference", *words], check=True, capture_output=True)


def stored(out: Path) -> dict[str, NDArray[np.floating]]:
    """Of every picture that clip-retrieval has stored, by its path, the vector: (dim,)."""
    vectors = np.load(out / "img_emb" / "img_emb_0.npy")
    paths = parquet.read_table(out / "metadata" / "metadata_0.parquet")["image_path"].to_pylist()
    return dict(zip(paths, vectors, strict=True))


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:]))
