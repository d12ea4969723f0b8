"""Pictures by id only: originals, thumbnails, and small copies of what visitors asked with."""

from __future__ import annotations

import io
import re
from pathlib import Path

from flask import Blueprint, Response, current_app, request, send_file, send_from_directory
from werkzeug.exceptions import NotFound

from search.errors import BadPicture, UnreadFile
from search.image import decode_picture
from search.paths import is_plain_file, read_file, stamp_of
from search.records import ImageRecord
from search.thumbnail import thumbnail as shrink
from search.types import is_followed
from web import places
from web.current import choose_shelf, library_of
from web.present import readable
from web.thumbnails import SIZES, key_of, making

blueprint = Blueprint("media", __name__, url_prefix="/media")

SAFE_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
"""Formats that every browser shows; of the others a JPEG is made."""

CONVERTED_PIXELS = 4096
"""Longest side of a picture that is made for a browser that cannot show the original."""

PLACEHOLDER = "no-picture.svg"
"""Stands for pictures whose files were never here."""

_PLACE_IN_XMP = re.compile(b"GPS(Dest)?L(at|ong)itude")

FOR_GOOD = "private, max-age=31536000, immutable"


@blueprint.get("/images/<int:image_id>/original")
def original(image_id: int) -> Response:
    shelf = choose_shelf(request.args.get("collection"))
    record = shelf.record(image_id)
    if not is_followed(record.path, shelf.catalog.roots()):
        raise NotFound(f"the picture with the id {image_id} was imported without its file")
    mimetype = SAFE_TYPES.get(record.facts.format)
    try:
        tells_place = not places.are_shown() and _tells_place(record)
        response = _as_it_is(record, mimetype) if mimetype and not tells_place else _converted(record)
    except BadPicture as error:
        raise _not_shown(image_id, error) from error
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return response


@blueprint.get("/images/<int:image_id>/thumbnail/<int:size>")
def thumbnail(image_id: int, size: int) -> Response:
    if size not in SIZES:
        raise NotFound(f"no thumbnail has {size} pixels; there are: {', '.join(map(str, SIZES))}")
    shelf = choose_shelf(request.args.get("collection"))
    record = shelf.record(image_id)
    if not is_followed(record.path, shelf.catalog.roots()):
        return send_from_directory(current_app.static_folder or "static", PLACEHOLDER)
    try:
        data = shelf.thumbnails.get(image_id, record, size)
    except BadPicture as error:
        raise _not_shown(image_id, error) from error
    key = key_of(image_id, record)
    response = send_file(io.BytesIO(data), mimetype="image/webp", etag=f"{key}-{size}")
    if key.startswith(request.args.get("v") or "-"):
        response.headers["Cache-Control"] = FOR_GOOD
    return response


@blueprint.get("/uploads/<key>")
def upload(key: str) -> Response:
    """A small copy of a picture that was asked with; whoever has the key had the picture or the link."""
    if (kept := library_of().uploads.get(key)) is None:
        raise NotFound("this picture is no longer held here")
    response = send_file(io.BytesIO(kept.preview), mimetype="image/webp", etag=key)
    response.headers["Cache-Control"] = FOR_GOOD
    return response


def _not_shown(image_id: int, error: BadPicture) -> NotFound:
    """Where a file was to be read from, and why it was not, is nobody else's affair."""
    reason = "its file cannot be read" if isinstance(error, UnreadFile) else error
    return NotFound(f"the picture with the id {image_id} cannot be shown: {reason}")


def _tells_place(record: ImageRecord) -> bool:
    """Whether the file says where it was taken. A place in its XMP alone, as some programs write it, is no fact."""
    return record.facts.latitude is not None or _PLACE_IN_XMP.search(read_file(record.path)) is not None


def _as_it_is(record: ImageRecord, mimetype: str) -> Response:
    try:
        stamp = stamp_of(record.path)
        etag = f"{stamp.mtime_ns:x}-{stamp.size_bytes:x}"
        content = record.path if is_plain_file(record.path) else io.BytesIO(read_file(record.path))
        return send_file(content, mimetype=mimetype, download_name=_safe_name(record.path), etag=etag)
    except OSError as error:
        raise UnreadFile(f"cannot be read: {error.strerror}") from error


def _converted(record: ImageRecord) -> Response:
    with making:
        picture = decode_picture(read_file(record.path), max_pixels=record.max_pixels)
        data = shrink(picture.image, CONVERTED_PIXELS, encoding="JPEG")
    name = f"{Path(_safe_name(record.path)).stem}.jpg"
    return send_file(io.BytesIO(data), mimetype="image/jpeg", download_name=name)


def _safe_name(path: str) -> str:
    """The file's name without what would break a header."""
    return "".join(character for character in readable(path.rpartition("/")[2]) if character.isprintable())
