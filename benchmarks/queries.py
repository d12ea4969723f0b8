"""Text queries that come at once: each on its own, one after the other, or together through the tower.

    python -m benchmarks.queries [MODEL]...

For 1, 8 and 32 clients, each of which asks again when it is answered. The three ways take turns in short rounds, so
that whatever else runs on the machine meets them alike; read the ratios.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable

from search.batching import BatchingEncoder
from search.encoder import Encoder, load_encoder

CLIENTS = (1, 8, 32)
ROUNDS = 5
ROUND_S = 1.5

Ask = Callable[[str], object]


def main(models: list[str]) -> None:
    for model in models:
        ways = make_ways(load_encoder(model, device="cpu"))
        print(f"{model}: queries a second (median ms of a query)")
        for clients in CLIENTS:
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, ask in ways.items():
                    taken[name] += load(ask, clients)
            print(f"  {clients:2} clients   {figures(taken)}")


def make_ways(encoder: Encoder) -> dict[str, Ask]:
    batching, tower = BatchingEncoder(encoder), threading.Lock()

    def locked(text: str) -> object:
        with tower:
            return encoder.encode_texts([text])

    return {
        "apart": lambda text: encoder.encode_texts([text]),
        "locked": locked,
        "together": lambda text: batching.encode_texts([text]),
    }


def figures(taken: dict[str, list[float]]) -> str:
    each = [
        f"{name} {len(times) / (ROUNDS * ROUND_S):7.1f} ({1000 * statistics.median(times):6.1f})"
        for name, times in taken.items()
    ]
    ratios = [f"together/{name} {len(taken['together']) / len(taken[name]):.2f}" for name in ("locked", "apart")]
    return "   ".join(each + ratios)


def load(ask: Ask, clients: int) -> list[float]:
    """Seconds of each query that `clients` threads got answered in one round."""
    times: list[float] = []
    end = time.perf_counter() + ROUND_S

    def client(number: int) -> None:
        asked = 0
        while (started := time.perf_counter()) < end:
            ask(f"a picture of {number} dogs and {asked} cats in the snow")
            times.append(time.perf_counter() - started)
            asked += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


if __name__ == "__main__":
    main(sys.argv[1:] or ["bundled"])
