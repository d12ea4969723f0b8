"""Every target of the fuzzers, without the fuzzer: its seeds, what once was found, and random mutations of both."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.seeds import found
from tests.fuzz.targets import TARGETS

MUTATIONS = 400

_NUMBERS = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"99999", b"-1")


def mutated(seed: bytes, other: bytes, source: random.Random) -> bytes:
    """`seed` after one to four changes; some put in a piece of `other`."""
    data = bytearray(seed)
    for _ in range(source.randint(1, 4)):
        place, length = source.randint(0, len(data)), source.randint(0, 8)
        match source.randrange(5):
            case 0 if place < len(data):
                data[place] ^= 1 << source.randrange(8)
            case 1:
                del data[place : place + length]
            case 2:
                number = source.choice(_NUMBERS)
                data[place : place + len(number)] = number
            case 3:
                data[place:place] = data[:place][-length:] * source.randint(1, 50)
            case _:
                start = source.randint(0, len(other))
                data[place:place] = other[start : start + length]
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # of the libraries below: whoever opens a broken file is told by the error
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused(name: str, tmp_path: Path) -> None:
    target, source = TARGETS[name], random.Random(name)
    seeds = [*target.seeds(), *found(name)]
    run = target.make(tmp_path)
    for number in range(-len(seeds), MUTATIONS):
        data = seeds[number] if number < 0 else mutated(source.choice(seeds), source.choice(seeds), source)
        try:
            run(data)
        except Exception as error:
            error.add_note(f"{name} was given {data!r}")
            raise
