"""Facts of all images, a column each -> which images satisfy conditions, in milliseconds for a million.

Only what cannot change while an image keeps its id is there: neither its path nor its tags. So a column is true for as
long as the index that it was published with. Texts have columns of their own, with the facts of their images. SQL needs
longer to go through a million rows than FAISS to compare their vectors.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from search.errors import CollectionError
from search.expression import Condition, Date, Operator
from search.files import replacing
from search.index import REPAIR, sampled
from search.places import EARTH_RADIUS_M, Near
from search.records import ImageFacts
from search.seals import NAME_BYTES, Seal

Members = NDArray[np.bool_]
"""Of which images something holds: (n,)."""

_COLUMNS: dict[str, str] = {
    "width": "i8",
    "height": "i8",
    "taken_at": "M8[us]",
    "latitude": "f8",
    "longitude": "f8",
    "format": "i8",
    "camera": "i8",
}
"""Names and types. NaN, NaT and sizes of 0 are not known; a text is its place among all that there are."""

_TEXTS = ("format", "camera")

_TOLD = {"taken", "width", "height", "side", "orientation", "format", "camera", "place", "near"}
"""The fields of conditions that ask for what is here."""

_SAMPLE = 1_000

_SHARES = 1_000
"""So many are kept."""

_COMPARED: dict[Operator, Any] = {
    ":": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FactColumns:
    """Columns in the order of ids: (7, n), each of 8 bytes a value, in memory or mapped. Threads may share it."""

    def __init__(self, columns: NDArray[np.int64], texts: Mapping[str, Sequence[str | None]]) -> None:
        """The bits of what _COLUMNS are; `texts` are the different ones of those that hold texts."""
        self._columns = columns
        self._texts = texts
        self._last: tuple[Sequence[Condition], NDArray[np.int64]] | None = None
        self._shares: dict[Sequence[Condition], float] = {}

    @classmethod
    def of(cls, batches: Iterable[Sequence[Sequence[Any]]]) -> Self:
        """The fields of ImageFacts of all images, in any order."""
        texts: dict[str, dict[str | None, int]] = {name: {} for name in _TEXTS}
        dtypes = {"id": "i8", **_COLUMNS}
        parts = {name: [np.empty(0, dtype)] for name, dtype in dtypes.items()}
        for batch in batches:
            for name, values in zip(ImageFacts._fields, zip(*batch, strict=True), strict=True):
                known = texts.get(name)
                coded = values if known is None else [known.setdefault(value, len(known)) for value in values]
                parts[name].append(np.array(coded, dtypes[name]))
        whole = {name: np.concatenate(some) for name, some in parts.items()}
        order = np.argsort(whole["id"])
        columns = np.stack([whole[name][order].view("i8") for name in _COLUMNS])
        return cls(columns, {name: list(known) for name, known in texts.items()})

    def save(self, file: Path) -> Seal:
        """Write the file whole: it is on the disk under its name, or it is not there. Texts follow in JSON."""
        with replacing(file) as aside:
            with aside.open("wb") as stream:
                np.save(stream, self._columns)
                stream.write(json.dumps(self._texts).encode())
                stream.write(os.urandom(NAME_BYTES))
            return Seal.of(aside)

    @classmethod
    def open(cls, file: Path, seal: Seal) -> Self:
        """Raises FileNotFoundError where there is no file and CollectionError for a damaged or another one."""
        if problem := seal.broken(file):
            raise CollectionError(f"{file} is damaged or another collection's: {problem}; {REPAIR}")
        columns = np.load(file, mmap_mode="r")
        with file.open("rb") as stream:
            stream.seek(columns.offset + columns.nbytes)
            return cls(columns, json.loads(stream.read()[:-NAME_BYTES]))

    def same(self, other: FactColumns) -> bool:
        """Whether the same is known of as many images."""
        return all(
            np.array_equal(self._decoded(name), other._decoded(name), equal_nan=name not in _TEXTS) for name in _COLUMNS
        )

    @staticmethod
    def tells(asked: Condition) -> bool:
        """Whether the condition asks for what is here."""
        return asked.field in _TOLD

    def share(self, conditions: Sequence[Condition]) -> float:
        """About which part of the images satisfies all of the conditions; kept for the next query under them."""
        share = self._shares.get(asked := tuple(conditions))
        if share is None:
            held = self.satisfying(asked, sampled(self._columns.shape[1], _SAMPLE))
            share = float(held.sum()) / max(1, len(held))
            if len(self._shares) >= _SHARES:
                self._shares.clear()
            self._shares[asked] = share
        return share

    def places(self, conditions: Sequence[Condition]) -> NDArray[np.int64]:
        """Where what satisfies all of the conditions is; kept, since one query after the other is asked under them."""
        last = self._last
        if last is None or last[0] != conditions:
            self._last = last = conditions, np.flatnonzero(self.satisfying(conditions))
        return last[1]

    def satisfying(self, conditions: Sequence[Condition], places: NDArray[np.int64] | None = None) -> Members:
        """Which images satisfy all of the conditions, of all or of those at some places, (m,)."""
        found = np.ones(self._columns.shape[1] if places is None else len(places), bool)
        facts = _Facts(self._columns, self._texts, places)
        for asked in conditions:
            held = facts.held(asked)
            found &= ~held if asked.negated else held
        return found

    def _decoded(self, name: str) -> NDArray[Any]:
        """With texts in the place of their numbers."""
        column = _Facts(self._columns, self._texts).column(name)
        return np.array(self._texts[name], object)[column] if name in _TEXTS and len(column) else column


@dataclass(frozen=True, slots=True)
class _Facts:
    """Of all images or of those at some places, of which no more is read than what is asked for."""

    columns: NDArray[np.int64]
    texts: Mapping[str, Sequence[str | None]]
    places: NDArray[np.int64] | None = None

    def held(self, asked: Condition) -> Members:
        """Of which images the condition holds but for its minus, as search.filters has it in SQL."""
        match asked.field, asked.value:
            case "taken", Date() as date:
                return self._taken(asked.operator, date)
            case "width" | "height" | "side" as side, int(pixels):
                sides = self._side() if side == "side" else self.column(side)
                held: Members = _COMPARED[asked.operator](sides, pixels) & (sides > 0)
                return held
            case "orientation", str(name):
                return self._oriented(name)
            case "format", str(name):
                return self._of_texts("format", lambda text: text == name)
            case "camera", str(part):
                folded = _folded(part)
                return self._of_texts("camera", lambda text: folded in _folded(text))
            case "place", str(known):
                unknown: Members = np.isnan(self.column("latitude")) | np.isnan(self.column("longitude"))
                return unknown if known == "no" else ~unknown
            case "near", Near() as near:
                return self._near(near)
        raise ValueError(f"no column: {asked!r}")

    def _taken(self, compared: Operator, date: Date) -> Members:
        """Before or after all of a year, month or day, or within it; never for NaT."""
        times, start, end = self.column("taken_at"), np.datetime64(date.start, "us"), np.datetime64(date.end, "us")
        match compared:
            case "<":
                return times < start
            case "<=":
                return times < end
            case ">":
                return times >= end
            case ">=":
                return times >= start
        return (times >= start) & (times < end)

    def _side(self) -> NDArray[np.int64]:
        width, height = self.column("width"), self.column("height")
        return np.where((width > 0) & (height > 0), np.minimum(width, height), 0)

    def _oriented(self, name: str) -> Members:
        width, height = self.column("width"), self.column("height")
        compared = {"landscape": operator.gt, "portrait": operator.lt, "square": operator.eq}[name]
        held: Members = compared(width, height) & (width > 0) & (height > 0)
        return held

    def _of_texts(self, name: str, holds: Callable[[str], bool]) -> Members:
        held = np.array([text is not None and holds(text) for text in self.texts[name]], bool)
        members: Members = held[self.column(name)]
        return members

    def _near(self, near: Near) -> Members:
        """Between two parallels; by the haversine formula as search.places has it where sums of degrees do not tell."""
        latitudes, longitudes = self.column("latitude"), self.column("longitude")
        (south, north), (weight, most) = near.latitudes, near.surely
        way = np.abs(latitudes - near.latitude) + weight * np.abs(longitudes - near.longitude)
        held: Members = way <= most
        doubtful = np.flatnonzero((latitudes >= south) & (latitudes <= north) & (way > most))
        here, there = np.radians(latitudes[doubtful]), np.radians(near.latitude)
        across = np.sin(np.radians(near.longitude - longitudes[doubtful]) / 2) ** 2
        between = np.sin((there - here) / 2) ** 2 + np.cos(here) * np.cos(there) * across
        held[doubtful] = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, between))) <= near.radius_m
        return held

    def column(self, name: str) -> NDArray[Any]:
        column: NDArray[Any] = self.columns[list(_COLUMNS).index(name)]
        return (column if self.places is None else column[self.places]).view(_COLUMNS[name])


def _folded(text: str) -> bytes:
    """Without a difference between large and small letters of ASCII, as databases compare."""
    return text.encode().lower()
