"""Classified files -> lines of words, CSV or JSON; a file of such lines -> the paths that it holds already."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from indexer.classify import Classified
from search.errors import BadQuery
from search.terminal import utf8

Form = Literal["words", "csv", "json"]


@dataclass(frozen=True, slots=True)
class Table:
    """How rows look. Odd bytes of a file name go out as they are, in JSON as escapes that come back as they were."""

    labels: Sequence[str]
    form: Form

    @property
    def heading(self) -> bytes:
        return _csv(self._columns) if self.form == "csv" else b""

    @property
    def _columns(self) -> list[str]:
        return ["path", "label", "error", *self.labels]

    def line(self, item: Classified) -> bytes:
        if item.probabilities is None:
            return self._error_line(item.path, item.reason or "")
        values = item.probabilities.tolist()
        label = self.labels[values.index(max(values))]
        match self.form:
            case "csv":
                return _csv([item.path, label, "", *(f"{value:.6g}" for value in values)])
            case "json":
                by_label = dict(zip(self.labels, values, strict=True))
                return _json({"path": item.path, "label": label, "probabilities": by_label})
            case "words":
                return utf8(f"{max(values):.4f}  {label}  {item.path}\n")

    def _error_line(self, path: str, reason: str) -> bytes:
        match self.form:
            case "csv":
                return _csv([path, "", reason, *("" for _ in self.labels)])
            case "json":
                return _json({"path": path, "error": reason})
            case "words":
                return utf8(f"error   {reason}  {path}\n")

    def paths_in(self, file: Path) -> set[str]:
        """The paths in a file that was written before; half a line at its end, left by a kill, is cut off.

        Raises BadQuery for a file of other labels or another form.
        """
        try:
            file.touch()
            data = file.read_bytes()
        except OSError as error:
            raise BadQuery(f"{file} cannot be written: {error.strerror}") from error
        whole = data[: data.rfind(self._line_end) + len(self._line_end)] if self._line_end in data else b""
        paths = self._paths(whole) if whole or _begin_alike(data, self._beginning) else None
        if paths is None:
            raise BadQuery(f"{file} holds rows of other labels or of another form; name another file")
        if len(whole) < len(data):
            os.truncate(file, len(whole))
        return paths

    def _paths(self, data: bytes) -> set[str] | None:
        """Those of whole lines; None when they are not of this table."""
        return self._csv_paths(data) if self.form == "csv" else self._json_paths(data)

    @property
    def _beginning(self) -> bytes:
        return self.heading if self.form == "csv" else b'{"path": '

    @property
    def _line_end(self) -> bytes:
        return b"\r\n" if self.form == "csv" else b"\n"

    def _csv_paths(self, data: bytes) -> set[str] | None:
        if not data:
            return set()
        if not data.startswith(self.heading):
            return None
        text = data[len(self.heading) :].decode("utf-8", "surrogateescape")
        paths, width = set(), len(self._columns)
        try:
            for row in csv.reader(io.StringIO(text, newline="")):
                if len(row) != width:
                    return None
                paths.add(row[0])
        except csv.Error:
            return None
        return paths

    def _json_paths(self, data: bytes) -> set[str] | None:
        try:
            rows = [json.loads(line) for line in data.splitlines()]
        except (ValueError, RecursionError):
            return None
        return {row["path"] for row in rows} if all(map(self._is_own, rows)) else None

    def _is_own(self, row: Any) -> bool:
        """Whether a value out of JSON is a row of these labels; that of a bad file has no probabilities."""
        if not (isinstance(row, dict) and isinstance(row.get("path"), str)):
            return False
        by_label = row.get("probabilities", dict.fromkeys(self.labels))
        return isinstance(by_label, dict) and list(by_label) == list(self.labels)


def _begin_alike(one: bytes, other: bytes) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _csv(values: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)
    return utf8(text.getvalue())


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values) + "\n").encode()
