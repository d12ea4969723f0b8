"""ViT-B/32 in PyTorch and in ONNX Runtime on a CPU: a text, pictures, and a query from the shell.

    python -m benchmarks.towers [ROUNDS]

The weights are random. The contestants take turns, so that whatever else runs on the machine meets them alike; read the
ratios, which are medians of those within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from benchmarks.vectors import make_collection
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.encoder import Encoder, load_encoder
from search.exports import Exports
from search.loader import Loader
from search.onnx_encoder import open_exported
from search.probes import probe_pictures
from search.settings import PROJECT, Settings

IMAGES = 10_000
TEXT = "a brown dog runs through the snow with a stick in his mouth"  # 15 tokens with start and end
PICTURES = 32
TEXT_CALLS = 5


def main(rounds: int) -> None:
    threads = Settings.from_environment().threads
    with tempfile.TemporaryDirectory() as scratch:
        model, cache, directory = (Path(scratch) / name for name in ("model", "cache", "collection"))
        make_model(model)
        loader = Loader(purpose="build", cache=cache, threads=threads, device="cpu", tell=print)
        started = time.perf_counter()
        identity = loader.named(str(model)).identity
        print(f"exported, compared and measured in {time.perf_counter() - started:.0f} s")
        quantized = loader.named(str(model), precision="int8").identity
        print(f"int8: {quantized.int8}")
        make_collection(directory, identity, IMAGES)
        shells(directory, cache, rounds)
        exports = Exports.of(cache, identity)
        texts(model, open_exported(exports, identity, threads=threads), 3 * rounds)
        encoders: dict[str, Encoder] = {"torch": load_encoder(str(model), device="cpu")}
        for name, one in (("fp32", identity), ("int8", quantized)):
            encoders[f"onnx {name}, one session"] = open_exported(exports, one, threads=threads)
            encoders[f"onnx {name}, apart"] = open_exported(exports, one, threads=threads, apart=True)
        pictures(encoders, rounds)


def shells(directory: Path, cache: Path, rounds: int) -> None:
    """A text from the shell, the processor's own time first: it does not count what else runs."""
    environment = {**os.environ, "IMAGE_SEARCH_CACHE": str(cache)}

    def ask(runtime: str) -> None:
        words = [TEXT, "--collection", str(directory), "--device", "cpu", "--runtime", runtime]
        command = [sys.executable, "-m", "search", *words]
        subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)

    def times(runtime: str) -> float:
        before = os.times()
        ask(runtime)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    ways = {f"--runtime {runtime}": partial(ask, runtime) for runtime in ("torch", "onnx")}
    compare(f"python -m search, {IMAGES} images, s", ways, rounds, lambda seconds: f"{seconds:.2f}")
    for runtime in ("torch", "onnx"):
        print(f"  processor time of --runtime {runtime}, best of 3: {min(times(runtime) for _ in range(3)):.2f} s")


def texts(model: Path, exported: Encoder, rounds: int) -> None:
    assert exported.count_tokens([TEXT]) == [15]
    reference, loaded = load_encoder(str(model), device="cpu"), build_model(find_checkpoint(str(model)))
    tokenizer = loaded.tokenizer
    assert tokenizer

    def padded() -> None:
        with torch.inference_mode():
            loaded.towers.encode_text(tokenizer([TEXT]))

    ways = {
        "torch, padded to 77": lambda: repeat(padded),
        "torch, cut": lambda: repeat(lambda: reference.encode_texts([TEXT])),
        "onnx": lambda: repeat(lambda: exported.encode_texts([TEXT])),
    }
    compare("one text of 15 tokens, ms", ways, rounds, lambda seconds: f"{1000 * seconds / TEXT_CALLS:.1f}")


def pictures(encoders: Mapping[str, Encoder], rounds: int) -> None:
    pixels = np.stack([encoders["torch"].preprocess(picture) for picture in probe_pictures()[:PICTURES]])
    ways = {name: partial(encode, encoder, pixels) for name, encoder in encoders.items()}
    title = f"{PICTURES} prepared pictures, images a second"
    compare(title, ways, rounds, lambda seconds: f"{PICTURES / seconds:.1f}")


def encode(encoder: Encoder, pixels: NDArray[np.uint8]) -> None:
    for _ in encoder.encode_batches([pixels]):
        pass


def make_model(folder: Path, architecture: str = "ViT-B-32") -> None:
    """An open_clip directory with random weights."""
    torch.manual_seed(0)
    model_cfg = open_clip.get_model_config(architecture)
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    save_file(open_clip.CLIP(**model_cfg).state_dict(), folder / "open_clip_model.safetensors")


def repeat(call: Callable[[], object]) -> None:
    for _ in range(TEXT_CALLS):
        call()


def compare(title: str, ways: Mapping[str, Callable[[], object]], rounds: int, figure: Callable[[float], str]) -> None:
    """Print the median of each way, the least, and the median of how many times faster it is than the first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1 + rounds):  # the first round is not counted
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - started)
    first = next(iter(seconds.values()))
    print(title)
    for name, taken in seconds.items():
        ratio = statistics.median(one / other for one, other in zip(first, taken, strict=True))
        print(f"  {name:26} median {figure(statistics.median(taken)):>6}  best {figure(min(taken)):>6}  x {ratio:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7)
