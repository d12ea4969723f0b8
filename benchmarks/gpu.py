"""A GPU: how near builds come to its forward pass and to its rate of bf16 products, and exact search on it.

    python -m benchmarks.gpu [--device cuda] [--pictures 2048] [--vectors 1000000 10000000] [--batch-sizes 64 256]

Weights are random, pictures are JPEGs of 1024 x 768. Each model encodes them from memory, decoded and resized on the
cores, on the device, or one here and one there, and from files in builds; shares are of the forward pass alone, which
is tried compiled, with CUDA's graphs, too. With `--device cpu` and small numbers the script can be tried without a GPU.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional

from benchmarks.towers import make_model
from indexer.bench_pictures import SMALL, make_pictures
from indexer.build import Options, build
from indexer.load import ahead
from indexer.plain_loop import PlainLoop
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.collection import Collection
from search.image import SCALED, decode_picture
from search.settings import KEYPOINTS, MAX_PIXELS
from search.torch_encoder import TorchEncoder
from search.types import Root

ARCHITECTURES = ("ViT-B-32", "ViT-L-14", "ViT-L-14-336")
DIM, K = 512, 10
QUERIES = (1, 64)
CHUNK = 100_000
Tower = Callable[[torch.Tensor], torch.Tensor]

LEAST_S = 1.0
"""How long a call is repeated."""


class Gpu:
    """A device, or the CPU in its place: what is computed there is waited for."""

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)
        self.half = torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call, on average; the first is not counted."""
        call()
        self._wait()
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < LEAST_S:
            call()
            self._wait()
            calls += 1
        return (time.perf_counter() - started) / calls

    def products(self, side: int) -> float:
        """Floating-point operations a second of square matrix products."""
        one = torch.rand(side, side, device=self.device, dtype=self.half)
        return 2 * side**3 / self.seconds(lambda: one @ one)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Model:
    """A model with random weights on a device, by ways to encode pictures."""

    def __init__(self, architecture: str, folder: Path, gpu: Gpu) -> None:
        make_model(folder, architecture)
        self._gpu = gpu
        self.flops = PlainLoop(str(folder)).flops()
        loaded = build_model(find_checkpoint(str(folder)))
        normalize = loaded.transform.transforms[-1]
        self.encoder = TorchEncoder(loaded, gpu.device, quick=True)
        self._towers: Any = loaded.towers
        self._mean, self._std = (
            torch.tensor(v, device=gpu.device).view(-1, 1, 1) for v in (normalize.mean, normalize.std)
        )

    def forward(self, pixels: torch.Tensor, tower: Tower | None = None) -> torch.Tensor:
        """(n, 3, side, side) uint8 on the device -> (n, dim) there."""
        enabled = self._gpu.device.type == "cuda"
        with torch.no_grad(), torch.autocast(self._gpu.device.type, torch.bfloat16, enabled=enabled):
            return (tower or self._towers.encode_image)((pixels.float() / 255 - self._mean) / self._std)

    def forward_rate(self, batch_size: int, *, compiled: bool = False) -> float:
        side = self.encoder.side
        pixels = torch.randint(0, 256, (batch_size, 3, side, side), dtype=torch.uint8, device=self._gpu.device)
        tower = self._towers.encode_image
        if compiled:
            tower = torch.compile(tower, mode="reduce-overhead")
        return batch_size / self._gpu.seconds(lambda: self.forward(pixels, tower))

    def from_memory(self, files: Sequence[bytes], batch_size: int, workers: int) -> float:
        """Decoded on the cores."""

        def prepared(data: bytes) -> NDArray[np.uint8]:
            picture = decode_picture(data, max_pixels=MAX_PIXELS, short_side=SCALED * self.encoder.side)
            return self.encoder.preprocess(picture.image)

        started = time.perf_counter()
        pixels = ahead(prepared, files, workers=workers, look_ahead=batch_size + 2 * workers)
        rows = sum(map(len, self.encoder.encode_batches(np.stack(some) for some in batches(pixels, batch_size))))
        return rows / (time.perf_counter() - started)

    def resized_on_device(self, files: Sequence[bytes], batch_size: int, workers: int) -> float:
        """Decoded on the cores."""

        def decoded(data: bytes) -> torch.Tensor:
            picture = decode_picture(data, max_pixels=MAX_PIXELS, short_side=SCALED * self.encoder.side)
            return torch.from_numpy(np.array(picture.image)).permute(2, 0, 1)

        started = time.perf_counter()
        pictures = ahead(decoded, files, workers=workers, look_ahead=batch_size + 2 * workers)
        for some in batches(pictures, batch_size):
            self._encode_whole([picture.to(self._gpu.device) for picture in some])
        return len(files) / (time.perf_counter() - started)

    def decoded_on_device(self, files: Sequence[bytes], batch_size: int) -> float:
        """Resized there too."""
        encoded = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files]
        decode_jpeg(encoded[:1], ImageReadMode.RGB, device=str(self._gpu.device))  # what is made once is not counted
        started = time.perf_counter()
        for some in batches(iter(encoded), batch_size):
            self._encode_whole(decode_jpeg(some, ImageReadMode.RGB, device=str(self._gpu.device)))
        return len(files) / (time.perf_counter() - started)

    def _encode_whole(self, pictures: Sequence[torch.Tensor]) -> None:
        """Resized and cropped on the device: their pixels are not quite those of the reference."""
        side = self.encoder.side
        resized = [
            functional.resize(picture, [side], functional.InterpolationMode.BICUBIC, antialias=True)
            for picture in pictures
        ]
        self.forward(torch.stack([functional.center_crop(picture, [side, side]) for picture in resized])).cpu()

    def build(self, folder: Path, directory: Path, options: Options) -> float:
        with closing(Collection.create(directory, self.encoder.identity)) as collection, collection.writing():
            report = build(
                collection,
                [Root(str(folder))],
                lambda: self.encoder,
                options=options,
                progress=lambda *_: None,
                stop=threading.Event(),
            )
        return report.images_per_second


def batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def measure(model: Model, pictures: Path, place: Path, sizes: Sequence[int], workers: int, products: float) -> None:
    files = [file.read_bytes() for file in sorted(pictures.rglob("*.jpg"))]
    for size in sizes:
        alone = model.forward_rate(size)
        print(f"  batches of {size}: forward {alone:.1f}/s, {alone * model.flops / products:.0%} of the products")
        compiled = model.forward_rate(size, compiled=True)
        print(f"    {'forward, compiled':22} {compiled:8.1f}/s, {compiled / alone:.0%} of forward", flush=True)
        ways: dict[str, Callable[[], float]] = {
            "from memory": partial(model.from_memory, files, size, workers),
            "resized on the device": partial(model.resized_on_device, files, size, workers),
            "decoded on the device": partial(model.decoded_on_device, files, size),
        }
        for keypoints in (0, KEYPOINTS):
            options = Options(batch_size=size, workers=workers, keypoints=keypoints)
            directory = place / f"{size}-{keypoints}"
            ways[f"build, {keypoints} keypoints"] = partial(model.build, pictures, directory, options)
        for name, way in ways.items():
            rate = way()
            print(f"    {name:22} {rate:8.1f}/s, {rate / alone:.0%} of forward", flush=True)


def nearest(asked: torch.Tensor, vectors: torch.Tensor) -> object:
    return (asked @ vectors.T).topk(K)


def search(count: int, gpu: Gpu) -> None:
    """Exact neighbours among `count` vectors: a matrix product, and FAISS where it knows GPUs."""
    vectors = torch.empty(count, DIM, dtype=torch.float16, device=gpu.device)
    for start in range(0, count, CHUNK):
        some = torch.randn(len(vectors[start : start + CHUNK]), DIM, device=gpu.device)
        vectors[start : start + CHUNK] = torch.nn.functional.normalize(some)
    for queries in QUERIES:
        taken = gpu.seconds(partial(nearest, vectors[:queries], vectors))
        print(f"  {count} vectors, {queries} queries at once: matmul {1000 * taken:.2f} ms", flush=True)
    if not hasattr(faiss, "StandardGpuResources"):
        print("  FAISS here knows no GPU")
        return
    options = faiss.GpuIndexFlatConfig()
    options.useFloat16 = True
    index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), DIM, options)
    for start in range(0, count, CHUNK):
        index.add(vectors[start : start + CHUNK].float().cpu().numpy())
    for queries in QUERIES:
        taken = gpu.seconds(partial(index.search, vectors[:queries].float().cpu().numpy(), K))
        print(f"  {count} vectors, {queries} queries at once: FAISS {1000 * taken:.2f} ms", flush=True)


def make_many(folder: Path, count: int, processes: int) -> None:
    """Pictures in a folder for each process."""
    folder.mkdir()
    with ProcessPoolExecutor(processes) as pool:
        each = -(-count // processes)
        made = [
            pool.submit(make_pictures, folder / str(seed), each, SMALL, ("jpg",), seed=seed)
            for seed in range(processes)
        ]
        for one in made:
            one.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pictures", type=int, default=2048)
    parser.add_argument("--vectors", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--side", type=int, default=8192, help="of the matrices that give the rate of products")
    asked = parser.parse_args()
    gpu, cores = Gpu(asked.device), os.cpu_count() or 1
    products = gpu.products(asked.side)
    name = torch.cuda.get_device_name(gpu.device) if gpu.device.type == "cuda" else "a CPU"
    print(f"{name}, {cores} cores: {products / 1e12:.2f} TFLOP/s of products of {asked.side} in {gpu.half}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        make_many(Path(scratch) / "pictures", asked.pictures, cores)
        for architecture in asked.architectures:
            place = Path(scratch) / architecture
            place.mkdir()
            model = Model(architecture, place / "model", gpu)
            print(f"{architecture}, {model.flops / 1e9:.1f} GFLOP a picture")
            measure(model, Path(scratch) / "pictures", place, asked.batch_sizes, cores, products)
    for count in asked.vectors:
        search(count, gpu)


if __name__ == "__main__":
    main()
