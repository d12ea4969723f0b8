"""A row of an import -> what the catalog keeps of an image, checked; and back."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from indexer.rows import COLUMNS, PHOTO, Row, short
from search.bulk import StoredImage
from search.changes import FileStamp
from search.errors import BadImport
from search.expression import format_name
from search.types import Facts

_STAMPS = ("size_bytes", "mtime_ns", "captions_stamp")
_SIZES = ("width", "height")
_DIGEST_BYTES = 32
_LONGEST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class Described:
    """What a row says. `digest` is empty, and sizes and stamps are 0, where it says nothing of them."""

    stamp: FileStamp
    digest: bytes
    facts: Facts
    captions: tuple[str, ...]


def read_row(row: Row, *, unnamed: str) -> Described:
    """The row, under the path `unnamed` where it has none. Raises BadImport naming the column and the value."""
    values = {name: _typed(name, row.get(name)) for name in COLUMNS}
    path = values["path"] or _typed("path", row.get(PHOTO)) or unnamed
    for name in (*_STAMPS, *_SIZES):
        values[name] = _count(name, values[name])
    if digest := _digest(values["digest"]):
        absent = [name for name in (*_SIZES, "format") if not values[name]]
        if absent:
            raise BadImport(f"digest is given without {absent[0]}; whoever read the file knows both")
    facts = {**values, "taken_at": _moment(values["taken_at"]), "format": format_name(values["format"] or "")}
    return Described(
        FileStamp(os.path.normpath(path) if os.path.isabs(path) else path, *(values[name] for name in _STAMPS)),
        digest,
        Facts(**{fact.name: facts[fact.name] for fact in fields(Facts)}),
        tuple(values["captions"] or ()),
    )


def write_row(image: StoredImage, *, captions: bool) -> Row:
    """The row that reads as this image again; what is not known is null."""
    facts, stamp = image.facts, image.stamp
    values: dict[str, Any] = {name: getattr(stamp, name) for name in ("path", *_STAMPS)}
    values |= {name: getattr(facts, name) or None for name in (*_SIZES, "format", "camera", "lens", "caption")}
    values |= {"latitude": facts.latitude, "longitude": facts.longitude, "digest": image.digest.hex() or None}
    values["taken_at"] = facts.taken_at.isoformat() if facts.taken_at else None
    values["captions"] = [text for text, _ in image.captions] if captions and image.captions else None
    return {name: values[name] for name in COLUMNS}


def _typed(name: str, value: Any) -> Any:
    """The value if it is null or of its column's type, and can be stored."""
    kind: type = COLUMNS[name]
    if isinstance(value, date) and name == "taken_at":
        return value.isoformat()
    if value is None or (kind is float and type(value) is int):
        return value
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise BadImport(f"{name} is {short(value)}; it is {_KINDS[kind]} or null")
    for text in _texts(value):
        if not isinstance(text, str):
            raise BadImport(f"{name} holds {short(text)}; it is a list of texts")
        if len(text) > _LONGEST_TEXT:
            raise BadImport(f"{name}: {len(text):,} characters are over the limit of {_LONGEST_TEXT:,}; shorten it")
        try:
            text.encode("utf-8", "surrogateescape" if name == "path" else "strict")
        except UnicodeEncodeError:
            raise BadImport(f"{name} is {short(text)}, which is no Unicode") from None
    return value


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


_KINDS = {str: "a text", int: "a whole number", float: "a finite number", list: "a list of texts"}


def _count(name: str, value: int | None) -> int:
    if value is not None and not 0 <= value < 2**63:
        raise BadImport(f"{name} is {short(value)}; it is from 0 to 2^63 - 1, or null")
    return value or 0


def _digest(text: str | None) -> bytes:
    try:
        digest = bytes.fromhex(text or "")
    except ValueError:
        digest = b"?"
    if len(digest) not in (0, _DIGEST_BYTES):
        raise BadImport(f"digest is {short(text)}; it is the sha256 of the file in {2 * _DIGEST_BYTES} hex digits")
    return digest


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None) if text else None
    except ValueError:
        raise BadImport(f"taken_at is {short(text)}; write 2024-06-21T18:30:00") from None
