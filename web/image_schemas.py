"""The shapes of what the API says of a picture, besides its id and path."""

from __future__ import annotations

from web.shapes import Schema, array, fields, maybe, number, string, whole

PICTURES: dict[str, Schema] = {
    "Facts": fields(
        {
            "width": maybe(
                whole("pixels, upright; null, like height and format, where it was imported without", minimum=1)
            ),
            "height": maybe(whole("pixels, upright", minimum=1)),
            "format": maybe(string()),
            "taken_at": maybe(string("ISO 8601, the camera's local time")),
            "camera": maybe(string()),
            "lens": maybe(string()),
            "latitude": maybe(number("degrees, north positive")),
            "longitude": maybe(number("degrees, east positive")),
            "caption": maybe(string("inside the file")),
        }
    ),
    "Links": fields(
        {
            "self": string(),
            "page": string(),
            "original": maybe(string("null of an image that was imported without its file")),
            "thumbnails": array(string(), "of such an image a placeholder's"),
        }
    ),
}
