"""The first bytes of a picture -> the formats that it may be, and whether their decoder runs apart."""

from __future__ import annotations

import functools

from PIL import Image

from search.raw import is_raw

FORMATS = (
    *("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "ICO", "PPM", "PSD", "QOI", "DDS"),
    *("SGI", "PCX", "SUN", "TGA"),
)
"""Pillow's formats that are pixels and nothing else: no vector formats, no external programs. Asked in this order;
TGA is last because it has no signature."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_PLAIN = (b"P1", b"P2", b"P3")
"""Pixels as words, which Pillow reads in Python: a megabyte of comments takes it five seconds."""

_JPEG_2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")


def formats_of(data: bytes) -> tuple[str, ...]:
    """The plugins of Pillow to ask, in order. What has brands, as MP4 has, is asked of the decoder of these alone."""
    if data[4:8] == b"ftyp":
        name = _by_brand(data)
        return _heif_formats() if name == "HEIF" else _pillow_formats(name) if name else ()
    return _pillow_formats(*FORMATS)


def apart_format_of(data: bytes) -> str | None:
    """The name of the decoder where the picture goes to one that runs apart, else None."""
    if is_raw(data):
        return "RAW"
    if data[:2] in _PLAIN:
        return "PPM"
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    return "JPEG2000" if data.startswith(_JPEG_2000) else None


def _by_brand(data: bytes) -> str | None:
    end = min(int.from_bytes(data[:4]), 256)
    brands = {data[start : start + 4] for start in range(8, end, 4)}
    return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None


def _pillow_formats(*names: str) -> tuple[str, ...]:
    Image.init()
    return names


@functools.cache
def _heif_formats() -> tuple[str, ...]:
    import pillow_heif  # when the first such file comes: its libraries take a while to load

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return ("HEIF",)
