"""What the server adds to the text tower, and what many clients get out of it.

    python -m benchmarks.web [OPTION OF python -m web]...

Makes a collection of 100,000 random vectors of 512 dimensions and a model whose text tower is that of ViT-B/32 with
random weights, starts `python -m web` on both, and asks it text queries over one connection a client. The tower alone
is loaded as the server loads it, and runs as long as the server has nothing to do.
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
from urllib.parse import quote, urlsplit

import open_clip
from safetensors.torch import save_file

from benchmarks.vectors import make_collection
from search.building import build_model
from search.checkpoints import find_checkpoint
from search.encoder import Encoder
from search.loader import Loader
from search.settings import PROJECT, Settings

IMAGES = 100_000
PAIRS = 100
CLIENTS = 32
ROUNDS = 3
LOAD_S = 20.0
START_S = 120
PAUSE_S = 0.02
"""Before either is timed, so that threads of the other that still wait for work have gone to sleep."""


def main(options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        model, directory, cache = (Path(scratch) / name for name in ("model", "collection", "cache"))
        make_model(model)
        make_collection(directory, build_model(find_checkpoint(str(model))).identity, IMAGES)
        loader = Loader(purpose="serve", cache=cache, threads=Settings.from_environment().threads, device="cpu")
        encoder = loader.named(str(model))
        print(f"text tower alone: {type(encoder).__name__}")
        with server(directory, cache, options) as host:
            for _ in range(ROUNDS):
                one_at_a_time(host, encoder)
            for _ in range(ROUNDS):
                many_at_once(host)


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


def one_at_a_time(host: str, encoder: Encoder) -> None:
    """Requests and calls of the text tower take turns, so that other work on the machine meets both."""
    connection = http.client.HTTPConnection(host)
    requests, towers = [], []
    for number in range(-10, PAIRS):  # the first ten are not counted
        text = f"a dog and {number} cats in the snow"
        time.sleep(PAUSE_S)
        started = time.perf_counter()
        status, _ = ask(connection, search(text))
        answered = time.perf_counter()
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        encoder.encode_texts([text])
        encoded = time.perf_counter()
        assert status == 200
        if number == 0:
            before = stages(connection)
        if number >= 0:
            requests.append(answered - started)
            towers.append(encoded - began)
    whole, tower = statistics.median(requests), statistics.median(towers)
    print(
        f"one client, p50 of {PAIRS}: request {1000 * whole:.1f} ms, text tower alone {1000 * tower:.1f} ms, ",
        end="",
    )
    print(f"difference {1000 * (whole - tower):.1f} ms, request/tower {whole / tower:.2f}")
    show_stages(before, stages(connection))


def many_at_once(host: str) -> None:
    connection = http.client.HTTPConnection(host)
    before = stages(connection)
    alone = load(host, 1)
    between = stages(connection)
    show_stages(before, between)
    together = load(host, CLIENTS)
    show_stages(between, stages(connection))
    print(f"{CLIENTS} clients / 1 client: {together / alone:.2f} on {os.cpu_count()} cores")


def load(host: str, clients: int) -> float:
    """Answers a second that `clients` got from another process."""
    command = [sys.executable, "-m", "benchmarks.clients", host, str(clients), str(LOAD_S)]
    found = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout)
    print(
        f"{clients} clients for {LOAD_S:.0f} s: {found['answers'] / LOAD_S:.1f} requests a second, "
        f"{found['errors']} errors, p50 {1000 * found['wait_s']:.1f} ms; "
        f"the clients took {100 * found['processor_s'] / LOAD_S:.0f} % of a core"
    )
    return float(found["answers"]) / LOAD_S


def search(text: str) -> str:
    return f"/api/v1/search?q={quote(text)}"


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
            float(re.search(rf'image_search_{name}_seconds_{what}{{\w+="{label}"}} (\S+)', text)[1])
            for what in ("sum", "count")
        )
        found["whole request" if name == "request" else label] = seconds, count
    return found


def show_stages(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> None:
    """Mean times between two looks."""
    means = {name: (after[name][0] - before[name][0]) / (after[name][1] - before[name][1]) for name in after}
    print("    in the server, means: " + ", ".join(f"{name} {1000 * mean:.1f} ms" for name, mean in means.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
