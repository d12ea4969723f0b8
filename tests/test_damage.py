"""Bits flipped, tails cut, files swapped and missing: refused, found and repaired, and no hit is ever false."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search.collection import Collection
from search.exports import Exports
from search.verify import verify
from tests.colors import ColorEncoder
from tests.damage import flip, is_bad, make, survey


def test_damaged_files_are_refused_or_found_and_repaired_and_give_no_false_hit(tmp_path: Path) -> None:
    """`python -m tests.damage 1000` tries more of them."""
    for place, became in survey(tmp_path, flips=10).items():
        assert not any(map(is_bad, became)), (place, became)
        if place.endswith(("the tail cut", "another collection's", "the other target's", "missing")):
            told = all("refused" in what or "found by verify" in what or "no harm" in what for what in became)
            assert told, (place, became)


@pytest.mark.parametrize("needle", [b"photos/3.png", b"red 3"], ids=["path", "caption"])
def test_a_bit_that_flips_in_a_path_or_a_caption_is_found_by_verify(tmp_path: Path, needle: bytes) -> None:
    """Both stand in a table and in an index, and SQLite compares these."""
    sound = make(tmp_path / "sound", pictures=6)
    with closing(sqlite3.connect(sound.directory / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    places = [found.start() for found in re.finditer(needle, (sound.directory / "catalog.sqlite").read_bytes())]
    assert len(places) >= 2
    for place in places:
        directory = sound.copied(tmp_path / "damaged")
        flip(8 * place + 11)(directory / "catalog.sqlite")
        with closing(Collection.open(directory)) as collection:
            findings = verify(collection)
        assert any("missing from index" in line for line in findings.catalog), findings


@pytest.mark.parametrize("name", ["manifest.json", "tower.onnx"])
def test_exported_towers_that_are_damaged_are_found_and_go(tmp_path: Path, name: str) -> None:
    exports = Exports.of(tmp_path, ColorEncoder().identity)

    def make(folder: Path) -> dict[str, float]:
        (folder / "tower.onnx").write_bytes(bytes(range(200)))
        return {"logit_scale": 100.0}

    exports.write("fp32", make)
    assert exports.damage() == []
    file = exports.part("fp32") / name
    whole = file.read_bytes()
    places = range(0, 8 * len(whole), 7) if name == "manifest.json" else (0, 800)
    for bit in places:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        facts = exports.facts("fp32", thorough=True)
        assert facts is None or facts == {"logit_scale": 100.0}
    file.write_bytes(whole[:-1])
    assert len(exports.damage(forget=True)) == 1
    assert exports.damage() == []
    assert exports.facts("fp32") is None
