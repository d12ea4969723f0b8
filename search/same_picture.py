"""A query picture and ids of images -> which of these it is an edit of, and what says so; no file is opened for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image

from search.alignment import Alignment, Point, align, align_one
from search.catalog import Catalog
from search.errors import BadPicture
from search.image import decode_picture, digest_of
from search.local_features import LONGEST, Features, mirrored, query_features, record_of, unpacked
from search.paths import may_ask, read_file
from search.records import ImageRecord
from search.settings import KEYPOINTS

Digest = Callable[[], bytes | None]
"""That of an image's file, asked for where it is needed."""

_WHOLE = 0.99
"""From which overlap and agreement on it is worth comparing pixels."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What says that a query shows an image.

    `inliers` is the number of keypoints that match, `agreement`, [0, 1], the share of what is common that looks alike.
    `region` is the part of the image that the query shows, a polygon of x and y in fractions of its sides. The image
    is turned by `rotation` degrees clockwise in the query, (-180, 180], after it was mirrored where `flipped` is true,
    and a pixel of its file is `scale` pixels there. What is shown fills the share `fills`, [0, 1], of the query.
    """

    inliers: int
    agreement: float
    region: tuple[Point, ...]
    rotation: float
    scale: float
    flipped: bool
    fills: float

    @property
    def shown(self) -> float:
        """The share of the image, [0, 1], that the query shows: the area of the region."""
        around = zip(self.region, [*self.region[1:], *self.region[:1]], strict=True)
        return abs(sum(x * below - right * y for (x, y), (right, below) in around)) / 2


@dataclass(frozen=True, slots=True)
class Verified:
    """`evidence` is None for another picture; None in its place says that nobody can tell."""

    evidence: Evidence | None
    identical_pixels: bool = False


class QueryPicture:
    """A picture that is asked for: its features, and those of its mirror image. `size` is that of its file."""

    def __init__(self, features: Features, size: tuple[int, int], image: Image.Image | None = None) -> None:
        self.features = features
        self.reflected = mirrored(features)
        self.size = size
        self.image = image

    @classmethod
    def of(cls, image: Image.Image) -> QueryPicture:
        """A picture that was decoded whole, upright RGB."""
        return cls(query_features(image), image.size, image)

    @classmethod
    def of_image(cls, catalog: Catalog, image_id: int) -> QueryPicture | None:
        """An image of the collection, None where nothing is known of its features any more."""
        rows = catalog.images([image_id])
        records = _records(catalog, rows)
        if image_id not in records:
            return None
        facts = rows[image_id].facts
        return cls(unpacked(records[image_id]), (facts.width, facts.height))

    def align(self, image: Features, flipped: bool | None) -> Alignment | None:
        """How an image lies in it, or in its mirror image, or, where nothing is known of that, in either."""
        if flipped is None:
            return align(self.features, self.reflected, image)
        return align_one(self.reflected if flipped else self.features, image, flipped=flipped)


def verify(
    query: QueryPicture, catalog: Catalog, image_ids: Sequence[int], flipped: Mapping[int, bool] | None = None
) -> dict[int, Verified | None]:
    """Of each of these images that has a row whether the query shows it.

    Of which it is known whether it would be `flipped`, that alone is tried.

    Features come from the catalog. Those of an image that has none are taken from its file; where that is gone or
    another by now the answer is None: nobody can tell.
    """
    rows = catalog.images(image_ids)
    records = _records(catalog, rows)
    found: dict[int, Verified | None] = dict.fromkeys(rows)
    for id_ in records:
        image = unpacked(records[id_])
        digest = partial(_digest, catalog, id_, rows[id_])
        found[id_] = _verified(query, rows[id_], image, query.align(image, (flipped or {}).get(id_)), digest)
    return found


def _records(catalog: Catalog, rows: Mapping[int, ImageRecord]) -> dict[int, bytes]:
    found = catalog.features.of(list(rows))
    for id_, row in rows.items():
        if id_ not in found and (image := _original(row, partial(_digest, catalog, id_, row), LONGEST)):
            found[id_] = record_of(image, KEYPOINTS)
    return found


def _verified(
    query: QueryPicture, row: ImageRecord, image: Features, alignment: Alignment | None, digest: Digest
) -> Verified:
    if alignment is None or not alignment.same:
        return Verified(None)
    facts = row.facts
    whole = alignment.overlap > _WHOLE and alignment.agreement > _WHOLE and not alignment.flipped
    identical = whole and query.size == (facts.width, facts.height) and _same_pixels(query, row, digest)
    return Verified(_evidence(alignment, query, image, facts.width), identical)


def _evidence(alignment: Alignment, query: QueryPicture, image: Features, width: int) -> Evidence:
    scale = alignment.scale * (image.size[0] / width) * (query.size[0] / query.features.size[0])
    evidence = Evidence(
        inliers=alignment.inliers,
        agreement=round(alignment.agreement, 3),
        region=alignment.region,
        rotation=round(alignment.rotation, 1) + 0.0,
        scale=round(scale, 3),
        flipped=alignment.flipped,
        fills=0.0,
    )
    pixels = evidence.shown * np.prod(image.size) * alignment.scale**2
    return replace(evidence, fills=round(min(float(pixels / np.prod(query.features.size)), 1.0), 3))


def _same_pixels(query: QueryPicture, row: ImageRecord, digest: Digest) -> bool:
    """Whether every pixel of the file is the query's: only the file can say."""
    if query.image is None:
        return False
    original = _original(row, digest, None)
    return original is not None and np.array_equal(np.asarray(query.image), np.asarray(original))


def _digest(catalog: Catalog, image_id: int, row: ImageRecord) -> bytes | None:
    """Of the file of an image; None where nobody shall look for it."""
    return catalog.digest(image_id) if may_ask(row.path, catalog.roots()) else None


def _original(row: ImageRecord, digest: Digest, short_side: int | None) -> Image.Image | None:
    """The picture of the file that was indexed, None where that is gone or another by now."""
    try:
        if not (expected := digest()) or digest_of(data := read_file(row.path)) != expected:
            return None
        return decode_picture(data, max_pixels=row.max_pixels, short_side=short_side).image
    except BadPicture:
        return None
