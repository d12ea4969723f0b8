"""Files of rows, JSON or parquet by their ending -> plain values, row by row; and back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from search.errors import BadImport
from search.files import replacing

Row = Mapping[str, Any]
Write = Callable[[Sequence[Row]], None]

COLUMNS: dict[str, type] = {
    "path": str,
    "size_bytes": int,
    "mtime_ns": int,
    "captions_stamp": int,
    "digest": str,
    "width": int,
    "height": int,
    "format": str,
    "taken_at": str,
    "camera": str,
    "lens": str,
    "latitude": float,
    "longitude": float,
    "caption": str,
    "captions": list,
}
"""What a row may say, and the type of each; a list is one of texts. Any of them may be null or missing."""

PHOTO = "photo"
"""Another name of the column `path`."""

_JSON_LIST = ".json"
JSON_ENDINGS = (_JSON_LIST, ".jsonl", ".ndjson")
PARQUET = ".parquet"

_BATCH = 64
"""Rows of parquet at a time: few, since a small file may hold the same long text in every row."""

_CHUNK = 1 << 20
_LONGEST_ROW = 1 << 24
_SHORT = 40
_BETWEEN = re.compile(r"[\s,]*")


def read_rows(file: Path, columns: Iterable[str] = (*COLUMNS, PHOTO)) -> Iterator[Row]:
    """The objects of a JSON list, of JSON lines, or the rows of a parquet file, a bounded number of them in memory.

    Of parquet only `columns` are read. Raises BadImport naming the file and the row.
    """
    with _naming(file):
        for number, row in enumerate(_read_parquet(file, columns) if _is_parquet(file) else _read_json(file)):
            if not isinstance(row, dict):
                raise BadImport(f'{file}: row {number} is {short(row)}; a row is an object like {{"path": ...}}')
            yield row


def row_count(file: Path) -> int | None:
    """How many rows a parquet file says that it has; None for JSON, which does not say. Raises BadImport."""
    if not _is_parquet(file):
        return None
    with _naming(file), _open_parquet(file) as table:
        return int(table.metadata.num_rows)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """What the system has against reading the file is a BadImport."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise BadImport(f"{file} is not UTF-8: {error}") from error
    except OSError as error:
        raise BadImport(f"{file} cannot be read: {error.strerror or error}") from error


@contextmanager
def writing_rows(file: Path, columns: Mapping[str, type] = COLUMNS) -> Iterator[Write]:
    """Call what this gives with rows, as often as there are some; `file` is there, whole, when the block ends.

    JSON has what rows have, parquet the `columns` with their types.
    """
    with (
        replacing(file) as aside,
        _writing_parquet(aside, columns) if _is_parquet(file) else _writing_json(aside, file) as write,
    ):
        yield write


@contextmanager
def _writing_json(aside: Path, file: Path) -> Iterator[Write]:
    """A row a line: a JSON list of them, or as they are where the ending of `file` says so."""
    with aside.open("w", encoding="utf-8") as stream:
        if file.suffix.lower() != _JSON_LIST:
            yield lambda rows: stream.writelines(json.dumps(row) + "\n" for row in rows)
            return
        before = chain(["[\n"], repeat(",\n"))
        yield lambda rows: stream.writelines(next(before) + json.dumps(row) for row in rows)
        stream.write("\n]\n" if next(before) == ",\n" else "[]\n")


def _is_parquet(file: Path) -> bool:
    """By the ending. Raises BadImport for one that says neither."""
    ending = file.suffix.lower()
    if ending not in (*JSON_ENDINGS, PARQUET):
        raise BadImport(f"{file}: rows are read and written as {', '.join(JSON_ENDINGS)} or {PARQUET}")
    return ending == PARQUET


def _read_json(file: Path) -> Iterator[Any]:
    """Each value as soon as it is whole."""
    decoder, number = json.JSONDecoder(), 0
    with file.open(encoding="utf-8-sig") as stream:
        text = stream.read(_CHUNK)
        is_list = text.lstrip().startswith("[")
        place = text.index("[") + 1 if is_list else 0
        while True:
            place = _after(_BETWEEN, text, place)
            if is_list and text.startswith("]", place):
                return
            try:
                value, place = decoder.raw_decode(text, place)
            except json.JSONDecodeError as error:
                if len(text) - place > _LONGEST_ROW or not (more := stream.read(_CHUNK)):
                    if place == len(text) and not is_list:
                        return
                    raise BadImport(f"{file}: row {number} is no whole JSON value: {error.msg}") from error
                text, place = text[place:] + more, 0
            except (RecursionError, ValueError) as error:  # nested too deep; an integer of too many digits
                begins = short(text[place : place + _SHORT])
                raise BadImport(
                    f"{file}: row {number}, {begins}, cannot be read: it is nested too deep, or has a number of over "
                    f"{sys.get_int_max_str_digits():,} digits; leave that value out"
                ) from error
            else:
                yield value
                number += 1


def short(value: Any) -> str:
    """How the value begins, as JSON; of one that is nested deep no more is looked at."""
    return "".join(islice(json.JSONEncoder(default=str).iterencode(value), _SHORT))[:_SHORT]


def _after(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _read_parquet(file: Path, columns: Iterable[str]) -> Iterator[Any]:
    with _open_parquet(file) as table:
        for batch in table.iter_batches(batch_size=_BATCH, columns=list(columns)):
            yield from batch.to_pylist()


@contextmanager
def _open_parquet(file: Path) -> Iterator[Any]:
    """A pyarrow.parquet.ParquetFile; what is wrong with it, also later, is a BadImport."""
    arrow, parquet = _pyarrow(file)
    try:
        with parquet.ParquetFile(file) as table:
            yield table
    except (arrow.ArrowException, OverflowError) as error:  # the latter: no date of Python's
        raise BadImport(f"{file} is no readable parquet file: {error}") from error


@contextmanager
def _writing_parquet(file: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    arrow, parquet = _pyarrow(file)
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), list: arrow.list_(arrow.string())}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:

        def write(rows: Sequence[Row]) -> None:
            try:
                writer.write_table(arrow.Table.from_pylist(list(rows), schema=schema))
            except UnicodeEncodeError as error:
                raise BadImport(
                    f"{file}: a path is not UTF-8, which parquet cannot hold; write rows as .json"
                ) from error

        yield write


def _pyarrow(file: Path) -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise BadImport(
            f"{file}: parquet needs the package pyarrow: pip install 'text-image-search[parquet]', or use .json"
        ) from error
