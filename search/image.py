"""The bytes of a file -> upright RGB pixels and facts; whatever cannot be decoded is a BadPicture with its reason."""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from PIL import Image, ImageFile

from search.decoding import noted
from search.errors import BadPicture
from search.exif import PILLOW_ERRORS, orientation_of, read_exif, reason_of
from search.facts import facts_of
from search.raw import RAW_SUFFIXES, Room, is_raw, read_raw
from search.rgb import SIDEWAYS, rgb_of, turned
from search.signatures import apart_format_of, formats_of
from search.types import Picture

BLOCK_BYTES = 1 << 26
"""Of the pieces that Pillow keeps pixels in. Those of 16 MB, as it has them, the C library may keep for each thread
when they are freed, and a server that met large pictures stays large; above 32 MB it never does."""

SCALED = 3
"""Times the side of a model's input that a scaled decode leaves: embeddings of photographs keep a cosine of 0.9999."""

ALONE_PIXELS = 24_000_000
"""Larger pictures are decoded one at a time, so that threads together hold a bounded amount of memory."""

MOST_SCANS = 500
"""Of a progressive JPEG; libjpeg-turbo's advice."""

_SCALED = ("JPEG", "MPO")

_SUFFIXES = """
jpg jpeg jpe jfif mpo png apng webp avif avifs tif tiff bmp dib gif jp2 j2k jpf jpx j2c jpc ico ppm pgm pbm pnm psd qoi
dds sgi pcx ras tga heic heif hif jxl
"""
SUFFIXES = RAW_SUFFIXES | {f".{name}" for name in _SUFFIXES.split()}
"""Lower-case suffixes of pictures. JPEG XL is not decoded: it is listed so that it is recorded with a reason."""

_PILLOW_FILTER: tuple[Any, ...] = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_alone = threading.Lock()


def digest_of(data: bytes) -> bytes:
    """sha256, 32 bytes."""
    return hashlib.sha256(data).digest()


def decode_picture(data: bytes, *, max_pixels: int, short_side: int | None = None, suspect: bool = False) -> Picture:
    """Decode a picture, told by its content; the first frame where there are several.

    With `short_side` a JPEG may come smaller, by 2, 4 or 8, as long as its shorter side keeps so many pixels: the
    decoder then leaves out what nobody would see. The facts tell the size of the file all the same.

    Colour profiles are left aside as the reference CLIP pipeline does, except for CMYK; transparency becomes white.
    A camera's RAW file gives its embedded preview where that is large enough, with the size of the photograph in the
    facts. Safe on several threads: a picture of more than ALONE_PIXELS waits for the other large ones, so that memory
    stays bounded. The decoders of HEIF, AVIF, JPEG 2000 and RAW run in processes of their own, so that what they do to
    theirs is done to no other; so is that of a `suspect` picture, whatever its format, and of one that took down a
    process which notes what it decodes (`search/decoding.py`).

    Raises BadPicture: not a picture, broken or truncated, over `max_pixels`, which is checked before any pixel is
    decoded, or one whose decoder crashed or took too long. UnreadFile where no such process can be had.
    """
    _prepare_pillow(max_pixels)
    name = apart_format_of(data)
    with nullcontext(True) if name or suspect else noted(data) as apart:
        if not apart:
            return decode_here(data, max_pixels=max_pixels, short_side=short_side, room=_turn_of)
        from search.apart import decode_apart  # when the first such file comes

        name = name or _name_of(data)
        return decode_apart(data, name, max_pixels=max_pixels, short_side=short_side, room=_turn_of)


def decode_here(data: bytes, *, max_pixels: int, short_side: int | None, room: Room) -> Picture:
    """`decode_picture` in this process for every format; pixels are decoded in the time that `room` gives."""
    _prepare_pillow(max_pixels)
    return (_decode_raw if is_raw(data) else _decode)(data, max_pixels, short_side, room)


def _prepare_pillow(max_pixels: int) -> None:
    """Hold Pillow's process-wide switches where threads with any limit may share them.

    Warnings filters cannot be scoped to a thread, so one for Pillow's own warnings stays in front. Pillow's pixel limit
    (twice MAX_IMAGE_PIXELS) still guards the frames inside a file; it is only ever raised, and ours is the smaller.
    """
    if Image.core.get_block_size() != BLOCK_BYTES:  # type: ignore[attr-defined]
        Image.core.set_block_size(BLOCK_BYTES)  # type: ignore[attr-defined]
    if list(warnings.filters[:1]) != [_PILLOW_FILTER]:
        warnings.filterwarnings("ignore", module=_PILLOW_FILTER[3].pattern)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2


def _decode(data: bytes, max_pixels: int, short_side: int | None, room: Room) -> Picture:
    image = _opened(data, max_pixels, room)
    _check_scans(image, data)
    full = image.size
    if image.format in _SCALED and (scale := _scale(short_side or min(full), *full)) > 1:
        image.draft(None, (full[0] // scale, full[1] // scale))
    with room(*image.size), _refusing(image.format or "", max_pixels):
        image.load()
        _check_pixels(*image.size, max_pixels)  # again: HEIF may hold more than its header says
        exif = read_exif(image)  # not before: PNG may have it behind the pixels, and load() turns a TIFF itself
        orientation = orientation_of(exif)
        upright = turned(rgb_of(image), orientation)
    width, height = full if image.format in _SCALED else image.size
    if orientation in SIDEWAYS:
        width, height = height, width
    facts = facts_of(image, exif, width=width, height=height, format=image.format or "")
    return Picture(_detached(upright), facts)


def _detached(image: Image.Image) -> Image.Image:
    """The pixels without the file that they came from and its decoder, which may hold them once or twice more."""
    return Image.Image()._new(image.im) if isinstance(image, ImageFile.ImageFile) else image


def _scale(short_side: int, width: int, height: int) -> int:
    """8, 4, 2 or 1: by how much a JPEG may shrink; what divides both sides, or all would move by part of a pixel."""
    short = min(width, height)
    return next((by for by in (8, 4, 2) if short >= by * short_side and not (width % by or height % by)), 1)


@contextmanager
def _refusing(name: str, max_pixels: int) -> Iterator[None]:
    """Turn what a decoder raises into BadPicture."""
    try:
        yield
    except Image.DecompressionBombError as error:  # a frame inside the file, larger than its header says
        limit = _mega(max_pixels)
        raise BadPicture(
            f"a frame over the limit of {limit} megapixels; a build takes it with --max-megapixels"
        ) from error
    except PILLOW_ERRORS as error:
        raise BadPicture(f"broken {name}: {reason_of(error)}") from error


def _decode_raw(data: bytes, max_pixels: int, short_side: int | None, room: Room) -> Picture:
    def decode(preview: bytes) -> Picture:
        return _decode(preview, max_pixels, short_side, room)

    def checked(width: int, height: int) -> AbstractContextManager[object]:
        _check_pixels(width, height, max_pixels)
        return room(width, height)

    return read_raw(data, decode=decode, room=checked)


def _opened(data: bytes, max_pixels: int, room: Room) -> ImageFile.ImageFile:
    """The header read by the first plugin that understands it, within the limit. Pillow decodes an icon in doing so.

    This is Image.open without its own pixel limit, which is one number for the whole process.
    """
    failures = []
    for name in formats_of(data):
        factory, accepts = Image.OPEN[name]
        if accepts and not _has_signature(data, accepts):
            continue
        try:
            with _refusing(name, max_pixels), room(*_icon_size(data, max_pixels)) if name == "ICO" else nullcontext():
                image = factory(io.BytesIO(data), "")
        except BadPicture as error:  # another format may have the same signature
            failures += [error] if accepts else []
        else:
            _check_pixels(*image.size, max_pixels)
            return image
    raise failures[0] if failures else BadPicture("not a picture of a known format")


def _name_of(data: bytes) -> str:
    """The first format that the picture may be."""
    fitting = (name for name in formats_of(data) if (accepts := Image.OPEN[name][1]) and _has_signature(data, accepts))
    return next(fitting, "this picture")


def _has_signature(data: bytes, accepts: Callable[[bytes], bool | str]) -> bool:
    try:
        return accepts(data[:16]) is True
    except (IndexError, struct.error):  # too short to have one
        return False


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise BadPicture(f"{width} x {height} has no pixels")
    if width * height > max_pixels:
        size = f"{width} x {height} = {_mega(width * height)} megapixels"
        raise BadPicture(f"{size}, over the limit of {_mega(max_pixels)}; a build takes it with --max-megapixels")


def _check_scans(image: Image.Image, data: bytes) -> None:
    """Each scan of a progressive JPEG goes over all of it: 5,000 in a megabyte take half a minute."""
    scans = data.count(b"\xff\xda") if image.info.get("progressive") else 1
    if scans > MOST_SCANS:
        raise BadPicture(f"a JPEG of {scans:,} scans, over the limit of {MOST_SCANS}; others have ten or so")


def _icon_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Of the largest picture inside, which may be larger than the icon says; each is checked."""
    largest = (1, 1)
    for entry in range(int.from_bytes(data[4:6], "little")):
        (start,) = struct.unpack_from("<I", data, 18 + 16 * entry)
        if data[start : start + 8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack_from(">II", data, start + 16)
        else:
            width, height = struct.unpack_from("<ii", data, start + 4)
        _check_pixels(abs(width), abs(height), max_pixels)
        largest = max(largest, (abs(width), abs(height)), key=math.prod)
    return largest


def _mega(count: int) -> str:
    return f"{round(count / 1_000_000, 1 if count >= 1_000_000 else 6):g}"


def _turn_of(width: int, height: int) -> AbstractContextManager[object]:
    return _alone if width * height > ALONE_PIXELS else nullcontext()
