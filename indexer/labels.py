"""Words of a command line, or a file -> labels. A file has a label a line or, where its name ends in .csv, columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from search.errors import BadQuery
from search.prompts import PLACE, Label

COLUMNS = ("name", "prompts", "threshold", "sensitive")
"""Those of a CSV file, which has the first one and any of the others."""

BETWEEN_PROMPTS = "|"

_ANSWERS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


def labels_in(text: str | None, file: Path | None) -> list[Label]:
    """The labels between the commas of `text`, or in `file`, each once. Raises BadQuery without any."""
    if file is not None and file.suffix.lower() == ".csv":
        labels = list(_rows(file))
    else:
        parts = _read(file).splitlines() if file else (text or "").split(",")
        labels = [Label(name) for name in dict.fromkeys(part.strip() for part in parts if part.strip())]
    if not labels:
        raise BadQuery("no labels; name them like --labels dog,cat or a line each in --labels-file")
    return labels


def _rows(file: Path) -> Iterator[Label]:
    """The labels of a CSV file. Raises BadQuery that names the line."""
    reader = csv.DictReader(_read(file).splitlines(), skipinitialspace=True, strict=True)
    seen: set[str] = set()
    try:
        columns = reader.fieldnames or ()
        if "name" not in columns or not set(columns) <= set(COLUMNS):
            raise BadQuery(f"{file} has the columns {', '.join(columns)}; there are: {', '.join(COLUMNS)}")
        for row in reader:
            label = _label(row, f"{file}, line {reader.line_num}")
            if label.name in seen:
                raise BadQuery(f"{file}, line {reader.line_num}: {label.name!r} is there twice")
            seen.add(label.name)
            yield label
    except csv.Error as error:
        raise BadQuery(f"{file}, line {reader.line_num}: {error}") from error


def _label(row: dict[str | None, str | list[str] | None], where: str) -> Label:
    if None in row:
        raise BadQuery(f"{where}: more fields than columns; put quotes around one that has a comma")
    name, prompts, threshold, sensitive = (str(row.get(column) or "").strip() for column in COLUMNS)
    if not name:
        raise BadQuery(f"{where}: no name")
    if sensitive.lower() not in _ANSWERS:
        raise BadQuery(f"{where}: sensitive is {sensitive[:40]!r}; write yes or no")
    return Label(
        name,
        tuple(part.strip().replace(PLACE, name) for part in prompts.split(BETWEEN_PROMPTS) if part.strip()),
        _number(threshold, where) if threshold else None,
        _ANSWERS[sensitive.lower()],
    )


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadQuery(f"{where}: threshold is {text[:40]!r}; write a number such as 0.2") from None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadQuery(f"{file} cannot be read as text: {error}") from error
