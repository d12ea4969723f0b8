"""A camera's RAW file -> its embedded preview or a quick development, upright, with the facts of the photograph."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

from PIL import Image, TiffImagePlugin

from search.errors import BadPicture
from search.exif import PILLOW_ERRORS
from search.facts import facts_of
from search.types import Facts, Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rawpy import RawPy

Room = Callable[[int, int], AbstractContextManager[object]]
"""Width and height -> the time in which so many pixels may be decoded; raises BadPicture when over the limit."""

PREVIEW_SIDE = 640
"""Shorter side in pixels from which a preview stands for the photograph; some cameras embed 160 x 120 only."""

_SUFFIXES = "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf rw2 rwl sr2 srf srw x3f"
RAW_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())

_SIGNATURES = (
    *((0, b"FUJIFILMCCD-RAW"), (0, b"IIU\0"), (0, b"IIRO"), (0, b"IIRS"), (0, b"MMOR"), (0, b"\0MRM"), (0, b"FOVb")),
    *((0, b"II\x1a\0\0\0HEAPCCDR"), (4, b"ftypcrx "), (8, b"CR\2"), (8, b"IIII"), (8, b"MMMM")),
)
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*")
_MAX_DIRECTORIES = 8

# Tags and values of TIFF/EP and DNG.
_PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 262, 330, 50706
_COLOR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892

_TURNS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}
"""LibRaw's `flip` -> what makes the picture upright."""


def is_raw(data: bytes) -> bool:
    """Whether the content is a RAW file: by its signature, or a TIFF that holds sensor values. A plain TIFF is not."""
    if any(data.startswith(magic, start) for start, magic in _SIGNATURES):
        return True
    try:
        return data.startswith(_TIFF_SIGNATURES) and _holds_sensor_values(data)
    except PILLOW_ERRORS:
        return False


def read_raw(data: bytes, *, decode: Callable[[bytes], Picture], room: Room) -> Picture:
    """The picture; `decode` reads an embedded JPEG, `room` guards the development of so many pixels.

    The size in the facts is the photograph's, though the pixels may be those of a smaller preview.
    """
    import rawpy  # when the first RAW file comes: it brings numpy and libraw

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width, height = _upright_size(raw)  # before developing, which changes it
            picture = _preview(raw, decode) or _developed(raw, room)
    except (rawpy.LibRawError, rawpy.NotSupportedError, MemoryError, ValueError) as error:
        raise BadPicture(f"RAW: {_message(error)}") from error
    facts = _tiff_facts(data) if data.startswith(_TIFF_SIGNATURES) else picture.facts
    return Picture(picture.image, dataclasses.replace(facts, width=width, height=height, format="RAW"))


def _holds_sensor_values(data: bytes) -> bool:
    first = _directory(data)
    offsets = first.get(_SUB_DIRECTORIES, ())[:_MAX_DIRECTORIES]
    directories = [first, *(_directory(data, offset) for offset in offsets)]
    return _DNG_VERSION in first or any(
        directory.get(_PHOTOMETRIC) in (_COLOR_FILTER_ARRAY, _LINEAR_RAW) for directory in directories
    )


def _directory(data: bytes, offset: int | None = None) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
    stream = io.BytesIO(data)
    stream.seek(directory.next if offset is None else offset)
    directory.load(stream)
    return directory


def _preview(raw: RawPy, decode: Callable[[bytes], Picture]) -> Picture | None:
    """The embedded preview if it is whole and large enough."""
    import rawpy

    try:
        preview = raw.extract_thumb()
        if preview.format is rawpy.ThumbFormat.JPEG:
            picture = decode(bytes(preview.data))
        else:
            picture = _picture(Image.fromarray(cast("NDArray[np.uint8]", preview.data)), raw.sizes.flip)
    except (rawpy.LibRawError, rawpy.NotSupportedError, BadPicture, *PILLOW_ERRORS):
        return None
    return picture if min(picture.image.size) >= PREVIEW_SIDE else None


def _developed(raw: RawPy, room: Room) -> Picture:
    """The sensor values as sRGB at half the size, which skips demosaicing and is still far above a model's input."""
    with room(raw.sizes.raw_width, raw.sizes.raw_height):
        pixels = raw.postprocess(half_size=True, use_camera_wb=True)
    colors = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels  # a monochrome sensor
    return _picture(Image.fromarray(colors).convert("RGB"), flip=0)


def _picture(image: Image.Image, flip: int) -> Picture:
    upright = image.transpose(_TURNS[flip]) if flip in _TURNS else image
    return Picture(upright, Facts(width=upright.width, height=upright.height, format="RAW"))


def _upright_size(raw: RawPy) -> tuple[int, int]:
    sizes = raw.sizes
    return (sizes.height, sizes.width) if sizes.flip in (5, 6) else (sizes.width, sizes.height)


def _tiff_facts(data: bytes) -> Facts:
    exif = Image.Exif()
    try:
        exif.load_from_fp(io.BytesIO(data))
    except PILLOW_ERRORS:
        exif = Image.Exif()
    return facts_of(Image.Image(), exif, width=0, height=0, format="RAW")


def _message(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
