"""EXIF read without trust: what is broken or unreadable is absent."""

from __future__ import annotations

import re
import struct
import unicodedata
from typing import Any

from PIL import ExifTags, Image

PILLOW_ERRORS = (
    ArithmeticError,  # rationals without a denominator, sizes beyond a C integer
    EOFError,  # fewer frames or boxes than declared
    Image.DecompressionBombError,
    LookupError,  # unknown tags, modes and compressions
    MemoryError,
    OSError,  # most decoders, truncated files
    RuntimeError,  # libheif, libavif; NotImplementedError of DDS
    SyntaxError,  # most headers
    TypeError,  # a tag of another type than the plugin expects
    ValueError,  # UnicodeError too
    struct.error,
)
"""What Pillow and its plugins raise on broken bytes, as damaged files of all formats in use have shown."""

MAX_REASON_LENGTH = 160
_PLAIN_WORDS = {
    "not identified by this driver": "its header cannot be read",
    "cannot load this image": "it holds no pixels",
    "decoder error -2": "its data cannot be decoded",
    "Truncated File Read": "the file is truncated",
}

_UNREADABLE = {"Cc", "Cn", "Co", "Cs"}
"""Unicode categories that no readable text has: control, unassigned, private, surrogates."""


def reason_of(error: BaseException) -> str:
    """The message of a decoder on one line, without addresses of objects."""
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error.__cause__ or error, (struct.error, LookupError, TypeError, EOFError)):
        return "its header cannot be read"
    text = " ".join(re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "", str(error)).split())
    return _PLAIN_WORDS.get(text, text)[:MAX_REASON_LENGTH] or type(error).__name__


def read_exif(image: Image.Image) -> Image.Exif:
    """The picture's EXIF block; an empty one when there is none or it is broken."""
    try:
        return image.getexif()
    except PILLOW_ERRORS:
        return Image.Exif()


def orientation_of(exif: Image.Exif) -> int:
    """The EXIF orientation, 1 to 8; 1 when absent or nonsense."""
    value = value_of(exif, ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def value_of(exif: Image.Exif, tag: int) -> Any:
    """A value of the main directory; None when absent."""
    try:
        return exif.get(tag)
    except PILLOW_ERRORS:
        return None


def directory_of(exif: Image.Exif, ifd: int) -> dict[int, Any]:
    """A directory beside the main one (ExifTags.IFD); empty when absent."""
    try:
        return dict(exif.get_ifd(ifd))
    except PILLOW_ERRORS:
        return {}


def text_of(value: Any) -> str | None:
    """One clean line of what an EXIF text holds; None when it is blank or not text."""
    if isinstance(value, str):
        # Pillow reads EXIF text as Latin-1, as the standard has ASCII only; UTF-8 is what is really in use.
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes):
        return None
    text = decoded(value.split(b"\0")[0], "utf-8", "cp1252")
    return line_of(text)


def decoded(data: bytes, *encodings: str) -> str | None:
    """The text in the first of `encodings` that fits."""
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def line_of(text: str | None) -> str | None:
    """`text` on one line; None when blank or not readable."""
    line = " ".join((text or "").replace("\0", " ").split())
    return line if line and _UNREADABLE.isdisjoint(map(unicodedata.category, line)) else None
