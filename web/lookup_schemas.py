"""The shape of what a lookup's verdict rests on, as JSON Schema for schemas.py."""

from __future__ import annotations

from web.shapes import array, fields, number, whole

EVIDENCE = fields(
    {
        "inliers": whole("local features that match"),
        "agreement": number("share of the common part that looks alike, 0 to 1"),
        "region": array(array(number()), "what is shown of it: a polygon of x and y in fractions of the image"),
        "rotation": number("degrees clockwise by which the image was turned"),
        "scale": number("pixels for one of the image's"),
        "flipped": {"type": "boolean", "description": "whether it was mirrored before it was turned"},
        "fills": number("share of the picture that what is shown fills, 0 to 1"),
    }
)
