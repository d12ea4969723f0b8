"""Many clients of a server in one process that takes little of the processors it shares with it.

    python -m benchmarks.clients HOST:PORT CLIENTS SECONDS

Each client keeps its connection and asks a text query when the last one is answered. Prints one JSON object: `answers`
with status 200, `errors`, `wait_s` (the median of what an answer took) and `processor_s` (what this process took).
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import sys
import time
from dataclasses import dataclass
from urllib.parse import quote

ANSWER_S = 60
"""A client that waits longer counts as an error."""

_RECEIVED = 1 << 18


@dataclass(slots=True)
class Client:
    number: int
    connection: socket.socket
    asked_at: float = 0.0
    asked: int = 0
    received: bytes = b""

    def ask(self, host: str) -> None:
        path = f"/api/v1/search?q={quote(f'{self.number} dogs and {self.asked} cats in the snow')}"
        self.asked_at, self.received, self.asked = time.perf_counter(), b"", self.asked + 1
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    def status(self) -> int | None:
        """That of the answer; None as long as it is not complete. ConnectionError when the server hung up."""
        if not (data := self.connection.recv(_RECEIVED)):
            raise ConnectionError("the server hung up")
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return int(head[9:12]) if len(body) >= length else None


def main(host: str, count: int, seconds: float) -> None:
    waits: list[float] = []
    errors = 0
    ready = selectors.DefaultSelector()
    end = time.perf_counter() + seconds

    def start(number: int) -> None:
        name, _, port = host.rpartition(":")
        client = Client(number, socket.create_connection((name, int(port)), timeout=ANSWER_S))
        ready.register(client.connection, selectors.EVENT_READ, client)
        client.ask(host)

    for number in range(count):
        start(number)
    while time.perf_counter() < end:
        for key, _ in ready.select(timeout=1):
            client: Client = key.data
            try:
                status = client.status()
            except OSError:
                ready.unregister(client.connection)
                start(client.number)
                errors += 1
                continue
            if status == 200:
                waits.append(time.perf_counter() - client.asked_at)
            elif status is not None:
                errors += 1
            if status is not None:
                client.ask(host)
    late = sum(time.perf_counter() - key.data.asked_at > ANSWER_S for key in ready.get_map().values())
    print(
        json.dumps(
            {
                "answers": len(waits),
                "errors": errors + late,
                "wait_s": statistics.median(waits),
                "processor_s": time.process_time(),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
