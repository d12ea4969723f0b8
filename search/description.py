"""An opened picture -> the caption that a person wrote into it: XMP, then IPTC, then the three places of EXIF."""

from __future__ import annotations

import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from search.exif import PILLOW_ERRORS, decoded, directory_of, line_of, text_of, value_of

Base = ExifTags.Base

MAX_XMP_BYTES = 1_000_000
MAX_CAPTION_LENGTH = 2_000

BOILERPLATE = re.compile(
    r"(?:(?:\w+ ){0,2}digital (?:still )?camera"
    r"|sony dsc|samsung|dcim|dsc[_ ]?\d*|exif_jpeg_picture|default|image ?description|picture|screenshot|untitled"
    r"|created with (?:the )?gimp|(?:lead technologies|processed with|file written by).*"
    r"|<.*>|\{.*\})",
    re.IGNORECASE | re.DOTALL,
)
"""What cameras and programs write where a caption belongs."""

_DESCRIPTION = "http://purl.org/dc/elements/1.1/ description"
_ITEM = "http://www.w3.org/1999/02/22-rdf-syntax-ns# li"
_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"
_IPTC_CAPTION = (2, 120)
_CHARSETS = {b"ASCII": "ascii", b"UNICODE": "utf-16", b"JIS": "iso2022_jp", b"": "utf-8"}


def caption_of(image: Image.Image, exif: Image.Exif) -> str | None:
    """The first text that a person may have written, on one line."""
    return next((caption for text in _descriptions(image, exif) if (caption := _written(text))), None)


def _descriptions(image: Image.Image, exif: Image.Exif) -> Iterator[str | None]:
    yield _xmp_description(image.info.get("xmp"))
    yield _iptc_caption(image)
    yield text_of(value_of(exif, Base.ImageDescription))
    yield _xp_text(value_of(exif, Base.XPComment))
    yield _user_comment(directory_of(exif, ExifTags.IFD.Exif).get(Base.UserComment))


def _written(text: str | None) -> str | None:
    line = line_of(text)
    if line is None or BOILERPLATE.fullmatch(line) or not re.search(r"[^\W\d_]{2}", _without_marks(line)):
        return None
    return line[:MAX_CAPTION_LENGTH]


def _without_marks(text: str) -> str:
    """Marks, such as the vowels of Hindi and Thai, stand between letters and are none."""
    return "".join(character for character in text if not unicodedata.category(character).startswith("M"))


def _iptc_caption(image: Image.Image) -> str | None:
    if not isinstance(image, ImageFile.ImageFile):
        return None
    try:
        value = (IptcImagePlugin.getiptcinfo(image) or {}).get(_IPTC_CAPTION)
    except PILLOW_ERRORS:
        return None
    first = value[0] if isinstance(value, list) else value
    return decoded(first, "utf-8", "cp1252") if first else None


def _xp_text(value: Any) -> str | None:
    """Windows' text in a byte array: UTF-16, little endian whatever the EXIF block is."""
    return decoded(value, "utf-16-le") if isinstance(value, bytes) else None


def _user_comment(value: Any) -> str | None:
    """EXIF UserComment: eight bytes name the character set, the text follows."""
    if not isinstance(value, bytes):
        return None
    charset, text = _CHARSETS.get(value[:8].rstrip(b"\0 ")), value[8:]
    # Without a mark it is in the byte order of the writer, whatever that of the EXIF block: Latin's zeros tell.
    if charset == "utf-16" and not text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        charset = "utf-16-be" if text[::2].count(0) > text[1::2].count(0) else "utf-16-le"
    return decoded(text, charset) if charset else None


def _xmp_description(packet: Any) -> str | None:
    """dc:description of an XMP packet: the default language, else the first."""
    if not isinstance(packet, bytes) or len(packet) > MAX_XMP_BYTES:
        return None
    texts: dict[str, str] = {}
    try:
        _description_parser(texts).Parse(packet.strip(b"\0 \r\n\t"), True)
    except (expat.ExpatError, LookupError, ValueError):  # LookupError: an encoding that Python does not know
        return None
    return texts.get("x-default") or next(iter(texts.values()), None)


def _description_parser(texts: dict[str, str]) -> expat.XMLParserType:
    """A parser that fills `texts` (language -> dc:description) and refuses a DTD, the home of entity bombs."""
    languages: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if _DESCRIPTION in attributes:
            texts["x-default"] = attributes[_DESCRIPTION]
        if name == _DESCRIPTION:
            languages.append("x-default")
        elif name == _ITEM and languages:
            languages[-1] = attributes.get(_LANGUAGE, "x-default")

    def characters(text: str) -> None:
        if languages and (text.strip() or languages[-1] in texts):
            texts[languages[-1]] = texts.get(languages[-1], "") + text

    def end(name: str) -> None:
        if name == _DESCRIPTION:
            languages.pop()

    def refuse(*_: object) -> None:
        raise ValueError("an XMP packet with a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, refuse
    return parser
