"""What the server adds to the text tower, and what many clients get out of it.

    python -m benchmarks.web [OPTION OF python -m web]...

Makes a collection of 100,000 random vectors of 512 dimensions and a model whose text tower is that of ViT-B/32 with
random weights, starts `python -m web` on both, and asks it text queries over one connection a client. The tower alone
is loaded as the server loads it. In each round the tower, one client and many clients take turns, each for some seconds
without a pause, so that each is warm and whatever else runs on the machine meets them alike. It takes four minutes.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import open_clip
from safetensors.torch import save_file

from benchmarks.vectors import make_collection
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.encoder import Encoder
from search.loader import Loader
from search.settings import PROJECT, Settings

IMAGES = 100_000
CLIENTS = 32
ROUNDS = 4
TOWER_S, LOAD_S, LONG_S = 5.0, 12.0, 60.0
START_S = 120


def main(options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        model, directory, cache = (Path(scratch) / name for name in ("model", "collection", "cache"))
        make_model(model)
        make_collection(directory, build_model(find_checkpoint(str(model))).identity, IMAGES)
        loader = Loader(purpose="serve", cache=cache, threads=Settings.from_environment().threads, device="cpu")
        encoder = loader.named(str(model))
        print(f"text tower alone: {type(encoder).__name__}")
        with server(directory, cache, options) as host:
            warm(host)
            rounds = [one_round(host, encoder) for _ in range(ROUNDS)]
            print(f"{CLIENTS} clients for a minute:")
            load(host, CLIENTS, LONG_S)
        beside, ratio = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"medians of {ROUNDS} rounds:")
        print(f"p50 of a request less p50 of the text tower alone: {1000 * beside:.1f} ms")
        print(f"requests a second of {CLIENTS} clients / of 1 client: {ratio:.2f} on {os.cpu_count()} cores")


def make_model(folder: Path) -> None:
    """An open_clip directory: the text tower of ViT-B/32, and an image tower that nobody asks."""
    model_cfg = open_clip.get_model_config("ViT-B-32")
    model_cfg["vision_cfg"] = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32}
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    save_file(open_clip.CLIP(**model_cfg).state_dict(), folder / "open_clip_model.safetensors")


@contextmanager
def server(directory: Path, cache: Path, options: list[str]) -> Iterator[str]:
    """Where a server of the collection listens, once it is ready."""
    command = [sys.executable, "-m", "web", "--collection", str(directory), "--port", "0", "--device", "cpu", *options]
    environment = {**os.environ, "IMAGE_SEARCH_CACHE": str(cache)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "the server ended"
                found = re.search(r"http://\S+", line)
            host = urlsplit(found[0]).netloc
            deadline = time.monotonic() + START_S
            while ask(http.client.HTTPConnection(host), "/api/v1/ready")[0] != 200:
                assert time.monotonic() < deadline, "the server does not become ready"
                time.sleep(0.2)
            yield host
        finally:
            process.terminate()


def warm(host: str) -> None:
    connection = http.client.HTTPConnection(host)
    for _ in range(20):
        assert ask(connection, "/api/v1/search?q=snow")[0] == 200


def one_round(host: str, encoder: Encoder) -> tuple[float, float]:
    """How many seconds a request takes more than the tower, and how many times as fast many clients are as one."""
    tower = alone(encoder)
    print(f"text tower alone: p50 {1000 * tower:.1f} ms")
    one, many = load(host, 1, LOAD_S), load(host, CLIENTS, LOAD_S)
    print(f"  {1000 * (one['wait_s'] - tower):.1f} ms beside the tower, {many['answers'] / one['answers']:.2f} times")
    return one["wait_s"] - tower, many["answers"] / one["answers"]


def alone(encoder: Encoder) -> float:
    """The median of the seconds that the tower takes for a text."""
    taken: list[float] = []
    end = time.perf_counter() + TOWER_S
    while (began := time.perf_counter()) < end:
        encoder.encode_texts([f"0 dogs and {len(taken)} cats in the snow"])
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def load(host: str, clients: int, seconds: float) -> dict[str, float]:
    """What `clients` in another process got (see benchmarks.clients)."""
    connection = http.client.HTTPConnection(host)
    before = stages(connection)
    command = [sys.executable, "-m", "benchmarks.clients", host, str(clients), str(seconds)]
    found: dict[str, float] = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout)
    print(
        f"{clients} clients for {seconds:.0f} s: {found['answers'] / seconds:.1f} requests a second, "
        f"{found['errors']} errors, p50 {1000 * found['wait_s']:.1f} ms; "
        f"the clients took {100 * found['processor_s'] / seconds:.0f} % of a core"
    )
    show_stages(before, stages(connection))
    return found


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def stages(connection: http.client.HTTPConnection) -> dict[str, tuple[float, float]]:
    """Seconds and count so far of each stage, and of whole requests, by the server's own clock."""
    text = ask(connection, "/metrics")[1].decode()
    found: dict[str, tuple[float, float]] = {}
    for name, label in [*(("stage", stage) for stage in ("encode", "index", "hydrate")), ("request", "api.search")]:
        seconds, count = (
            float(re.findall(rf'image_search_{name}_seconds_{what}{{\w+="{label}"}} (\S+)', text)[0])
            for what in ("sum", "count")
        )
        found["whole request" if name == "request" else label] = seconds, count
    return found


def show_stages(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> None:
    """Mean times between two looks."""
    means = {name: (after[name][0] - before[name][0]) / (after[name][1] - before[name][1]) for name in after}
    means["all but encode"] = means["whole request"] - means["encode"]
    print("    in the server, means: " + ", ".join(f"{name} {1000 * mean:.1f} ms" for name, mean in means.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
