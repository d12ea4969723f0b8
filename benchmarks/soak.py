"""A server under mixed load for a long time while builds run: memory, open files and errors.

    python -m benchmarks.soak [MINUTES]

Serves the sample collection by the bundled model, in a copy. Clients ask texts, pictures, pages, lookups and
thumbnails, send what is broken, hang up in the middle, or stay silent; builds add and remove pictures without pause.
Prints ten times what the server holds, and at the end how often each kind of request had each outcome. Ends with 1
where anything was answered with 500 or more, or not answered.
"""

from __future__ import annotations

import http.client
import io
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from benchmarks.web import START_S, ask
from search.settings import PROJECT

LOOKS = 10
ANSWER_S = 60
WORDS = ("a dog in the snow", "two cats", "a red boat -water", '"a bird" + id:1*0.5', "a house at night")
CHUNKED = b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def main(minutes: float) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        photos, directory = Path(scratch) / "photos", Path(scratch) / "collection"
        shutil.copytree(PROJECT / "data" / "sample", photos)
        build = [sys.executable, "-m", "indexer", "build", str(photos), "--model", "bundled"]
        build += ["--collection", str(directory)]
        subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
        command = [sys.executable, "-m", "web", "--collection", str(directory), "--port", "0", "--device", "cpu"]
        with (Path(scratch) / "log").open("w+") as log, subprocess.Popen(command, cwd=PROJECT, stderr=log) as server:
            try:
                host = wait_for(Path(scratch) / "log")
                outcomes = soak(host, server.pid, build, photos, minutes)
            finally:
                server.terminate()
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:10} {outcome:14} {count:8,}")
    return int(any(not outcome.isdigit() or int(outcome) >= 500 for _, outcome in outcomes))


def wait_for(log: Path) -> str:
    """Where the server listens, once it is ready."""
    end = time.monotonic() + START_S
    while not (found := re.search(r"http://([^/\s]+)", log.read_text())):
        assert time.monotonic() < end, "the server does not start"
        time.sleep(0.1)
    while ask(http.client.HTTPConnection(found[1]), "/api/v1/ready")[0] != 200:
        assert time.monotonic() < end, "the server does not become ready"
        time.sleep(0.2)
    return found[1]


def soak(host: str, pid: int, build: list[str], photos: Path, minutes: float) -> Counter[tuple[str, str]]:
    """How often each kind of request had each outcome: a status, or the name of an error."""
    outcomes: Counter[tuple[str, str]] = Counter()
    counting, done = threading.Lock(), threading.Event()

    def run(kind: str, once: Callable[[random.Random], str]) -> None:
        source = random.Random(kind)
        while not done.is_set():
            try:
                outcome = once(source)
            except (OSError, http.client.HTTPException) as error:
                outcome = type(error).__name__
            with counting:
                outcomes[kind, outcome] += 1

    picture = (PROJECT / "data" / "sample" / "odd" / "upside-down.jpg").read_bytes()
    kinds: dict[str, Callable[[random.Random], str]] = {
        "text": lambda source: get(host, f"/api/v1/search?q={quote(source.choice(WORDS))}&k={source.randint(1, 50)}"),
        "page": lambda source: get(host, source.choice(["/", "/status", "/search?q=a+dog", "/metrics"])),
        "thumbnail": lambda source: get(host, f"/media/images/{source.randint(1, 60)}/thumbnail/448"),
        "health": lambda _: get(host, "/api/v1/health", pause_s=0.2),
        "picture": lambda _: post(host, "/api/v1/search", picture),
        "lookup": lambda source: post(host, "/api/v1/lookup", changed(picture, source)),
        "broken": lambda source: post(host, "/api/v1/lookup", picture[: source.randint(0, len(picture) // 2)]),
        "bomb": lambda _: post(host, "/search", BOMB),
        "hang up": lambda source: hang_up(host, source),
        "build": lambda source: rebuild(build, photos, source),
    }
    threads = [threading.Thread(target=run, args=item) for item in kinds.items()]
    for thread in threads:
        thread.start()
    silent = [socket.create_connection((host.partition(":")[0], int(host.partition(":")[2]))) for _ in range(100)]
    for look in range(LOOKS + 1):
        print(f"{look * minutes / LOOKS:6.1f} min: {held(pid)}", flush=True)
        time.sleep(60 * minutes / LOOKS if look < LOOKS else 0)
    done.set()
    for thread in threads:
        thread.join()
    for connection in silent:
        connection.close()
    return outcomes


def held(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    resident, most, threads = (re.search(rf"{name}:\s+(\d+)", status) for name in ("VmRSS", "VmHWM", "Threads"))
    assert resident
    assert most
    assert threads
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    megabytes = f"{int(resident[1]) / 1e3:,.0f} MB resident, {int(most[1]) / 1e3:,.0f} MB at most"
    return f"{megabytes}, {files} open files, {threads[1]} threads"


def get(host: str, path: str, pause_s: float = 0.0) -> str:
    time.sleep(pause_s)
    connection = http.client.HTTPConnection(host, timeout=ANSWER_S)
    status, _ = ask(connection, path)
    connection.close()
    return str(status)


def post(host: str, path: str, data: bytes) -> str:
    connection = http.client.HTTPConnection(host, timeout=ANSWER_S)
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = head + data + b"\r\n--x--\r\n"
    connection.request("POST", path, body, {"Content-Type": "multipart/form-data; boundary=x"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return str(answer.status)


def changed(picture: bytes, source: random.Random) -> bytes:
    """A picture that was never asked with."""
    out = io.BytesIO()
    image = Image.open(io.BytesIO(picture))
    image.resize((source.randint(100, 400), source.randint(100, 400))).save(out, "JPEG")
    return out.getvalue()


def hang_up(host: str, source: random.Random) -> str:
    """Half a chunked body, or an answer that is not taken."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), timeout=ANSWER_S) as connection:
        half = CHUNKED + b"ffff\r\n" + bytes(source.randint(0, 60_000))
        connection.sendall(source.choice([half, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]))
        time.sleep(source.random())
    return "0"


def rebuild(build: list[str], photos: Path, source: random.Random) -> str:
    """A build after a picture came and another one went. Its exit status."""
    image = Image.effect_noise((64, 64), 60).convert("RGB")
    image.save(photos / f"added-{source.randrange(20)}.png")
    with suppress(FileNotFoundError):
        (photos / f"added-{source.randrange(20)}.png").unlink()
    return str(subprocess.run(build, cwd=PROJECT, check=False, capture_output=True).returncode)


def bomb() -> bytes:
    """64 megapixels in some kilobytes, and cut."""
    out = io.BytesIO()
    Image.new("L", (8_000, 8_000)).save(out, "PNG")
    return out.getvalue()[:-40]


BOMB = bomb()

if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 60))
