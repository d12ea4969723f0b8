"""docs/SCALING.md shows what its numbers give."""

from __future__ import annotations

import pytest

from benchmarks.scaling import duration, size, tables
from search.settings import PROJECT

SCALING = (PROJECT / "docs" / "SCALING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", tables(), ids=lambda table: table[0].split(" | ")[0])
def test_the_tables_are_those_of_the_script(table: list[str]) -> None:
    assert "\n".join(table) in SCALING


def test_units_are_of_1000_and_of_time() -> None:
    assert [size(n) for n in (999, 1000, 9_960, 1_234_567, 999_600_000, 5e15)] == [
        *("999 B", "1.0 kB", "10 kB", "1.2 MB", "1.0 GB", "5000 TB")
    ]
    assert [duration(seconds) for seconds in (0.0149, 1, 89, 91, 5399, 5401, 172_801)] == [
        *("15 ms", "1.0 s", "89 s", "1.5 min", "90 min", "1.5 h", "2.0 days")
    ]
