"""An opened picture -> its facts: when, with what and where it was taken, and its caption."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from search.description import caption_of
from search.exif import PILLOW_ERRORS, directory_of, text_of, value_of
from search.types import Facts

Base, Gps = ExifTags.Base, ExifTags.GPS

_TIME = re.compile(r"(\d{4})[:\-/.] ?(\d\d?)[:\-/.] ?(\d\d?)(?:[ T]+(\d\d?): ?(\d\d?)(?:: ?(\d\d?))?)?")
"""Some write a number below ten without its zero, or a space in the place of that."""
_COMPANY = re.compile(r"(?i)[ ,]+(?:computer|optical|electric|imaging|corporation|corp|company|co|ltd|inc)\b.*")


def facts_of(image: Image.Image, exif: Image.Exif, *, width: int, height: int, format: str) -> Facts:  # noqa: A002
    """All that the metadata says; what is broken is absent. `width` and `height` in pixels, upright."""
    details = directory_of(exif, ExifTags.IFD.Exif)
    latitude, longitude = _place(directory_of(exif, ExifTags.IFD.GPSInfo))
    return Facts(
        width=width,
        height=height,
        format=format,
        taken_at=_taken_at(exif, details),
        camera=_camera(text_of(value_of(exif, Base.Make)), text_of(value_of(exif, Base.Model))),
        lens=_lens(text_of(details.get(Base.LensModel))),
        latitude=latitude,
        longitude=longitude,
        caption=caption_of(image, exif),
    )


def _taken_at(exif: Image.Exif, details: dict[int, Any]) -> datetime | None:
    values = (details.get(Base.DateTimeOriginal), details.get(Base.DateTimeDigitized), value_of(exif, Base.DateTime))
    return next((time for value in values if (time := _time(text_of(value)))), None)


def _time(text: str | None) -> datetime | None:
    found = _TIME.match(text or "")
    if not found:
        return None
    try:
        return datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None


def _camera(make: str | None, model: str | None) -> str | None:
    """Make and model: "NIKON CORPORATION" and "NIKON D70" are "NIKON D70", "RICOH CO., LTD" and "GR" are "RICOH GR"."""
    maker = _COMPANY.sub("", make or "")
    if not maker or not model:
        return model or maker or None
    repeated = model.casefold().startswith(tuple(word for word in maker.casefold().split() if len(word) > 1))
    return model if repeated else f"{maker} {model}"


def _lens(text: str | None) -> str | None:
    return text if text and re.search("[A-Za-z1-9]", text) else None


def _place(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees; both or neither. 0, 0 is how a receiver without a fix writes."""
    latitude = _degrees(gps.get(Gps.GPSLatitude), gps.get(Gps.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(gps.get(Gps.GPSLongitude), gps.get(Gps.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(parts: Any, ref: Any, letters: str, limit: int) -> float | None:
    letter = (text_of(ref) or " ")[0].upper()
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3 or letter not in letters:
        return None
    try:
        value = math.fsum(float(part) / 60.0**power for power, part in enumerate(parts))
    except PILLOW_ERRORS:
        return None
    if not (math.isfinite(value) and 0 <= value <= limit):
        return None
    return round(-value if letter == letters[1] else value, 7)
