"""The local features of a query picture and of an image -> how the image lies in the query, and whether it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from search.local_features import GREY_SIDE, Features

MIN_INLIERS = 4
MIN_AGREEMENT = 0.75
MIN_OVERLAP = 0.4
"""From all of these on a picture is the same. On photographs no edit that was measured had an agreement below 0.81, and
no two in the same frame above 0.75, but for those that shared a tenth of their area or a sixth, such as a logo."""

MAX_STRETCH = 2.0
"""How many times farther one direction may be stretched than another: 4:3 made 16:9 or square is 1.3 to 1.8 times."""

_MANY_INLIERS = 16
_MANY_PARTS = 10
_AGREEMENT_OF_MANY = 0.7
"""Keypoints that match in so many of the parts of an image, four by four, are no frame and no logo: less need agree,
for colors that were driven to their limits look otherwise."""

_PARTS_A_SIDE = 4
_MIN_INLIERS_STRETCHED = 6
"""Three pairs fix an affine map, two a similarity: it takes more to say as much."""

_RATIO = 0.85
_NEAR_PX = 6.0
"""Keypoints of the query so near to each other are one place, and no rivals in the ratio test."""

_TOLERANCE_PX = 6.0
_NARROW_PX = 2.0
"""What a few pairs fix within _TOLERANCE_PX may lie so far off that little agrees."""

_FITS = (
    (cv2.estimateAffinePartial2D, _TOLERANCE_PX, MIN_INLIERS),
    (cv2.estimateAffinePartial2D, _NARROW_PX, MIN_INLIERS),
    (cv2.estimateAffine2D, _TOLERANCE_PX, _MIN_INLIERS_STRETCHED),
)
_TOLERANCE_DEGREES = 20.0
_TOLERANCE_OCTAVES = 0.6
_FRAME = 4 * GREY_SIDE
_WINDOW = 7
_MIN_CONTRAST = 3.0
_MIN_CELLS = 60
_AGREES = 0.5

Matrix = NDArray[np.float64]
Point = tuple[float, float]


class Pairs(NamedTuple):
    """Keypoints that match: their places in the query and in the image, (n,) each."""

    query: NDArray[np.intp]
    image: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How an image lies in a query picture, and what says so.

    `matrix`, (2, 3), takes pixels of the image's version to pixels of the query's, which is `flipped` first where that
    is true. `inliers` are keypoints that match in descriptor, place, angle and scale. `agreement`, [0, 1], is the share
    of the common part, where it is not flat, whose grey levels correlate: other pictures in the same frame or with the
    same logo share keypoints, but not what lies between.
    """

    matrix: Matrix
    inliers: int
    agreement: float
    flipped: bool
    overlap: float
    """The common part: of the query or of the image, whichever it is more of."""
    region: tuple[Point, ...]
    """What the query shows of the image: a polygon of x and y in fractions of the image, clockwise or the reverse."""
    parts: int
    """In how many of the 16 parts of the image, four by four, there are inliers."""

    @property
    def same(self) -> bool:
        many = self.inliers >= _MANY_INLIERS and self.parts >= _MANY_PARTS
        agrees = self.agreement >= (_AGREEMENT_OF_MANY if many else MIN_AGREEMENT)
        return agrees and self.inliers >= MIN_INLIERS and self.overlap >= MIN_OVERLAP

    @property
    def rotation(self) -> float:
        """By how many degrees the image is turned clockwise in the query, (-180, 180]."""
        return _rotation(self.matrix)

    @property
    def scale(self) -> float:
        """How large a pixel of the image's version is in the query's."""
        return _scale(self.matrix)


def align(query: Features, reflected: Features, image: Features) -> Alignment | None:
    """The better of the query and of `reflected`, its mirror image, in which `image` lies; None where it is in neither.

    `grey` of these may have any size.
    """
    found = [align_one(picture, image, flipped=flipped) for picture, flipped in ((query, False), (reflected, True))]
    return max((alignment for alignment in found if alignment), key=lambda one: (one.same, one.inliers), default=None)


def align_one(query: Features, image: Features, *, flipped: bool) -> Alignment | None:
    """How `image` lies in the query, which is the mirror image of what was asked where `flipped`; None if it does not.

    Lowe's ratio test, then a similarity by RANSAC; where that says nothing, the same more narrowly, then an affine map,
    which may stretch a picture.
    """
    pairs, found = _matched(query, image), None
    for fit, tolerance, least in _FITS:
        fitted = _fitted(query, image, pairs, flipped, partial(fit, ransacReprojThreshold=tolerance), least)
        if fitted is not None and fitted.same:
            return fitted
        found = found or fitted
    return found


def _fitted(
    query: Features, image: Features, pairs: Pairs, flipped: bool, fit: Callable[..., Any], least: int
) -> Alignment | None:
    """What `fit` makes of the pairs, if it is no wild guess: no more than MAX_STRETCH, and `least` pairs agree."""
    if len(pairs.query) < least:
        return None
    fitted, kept = fit(image.points[pairs.image], query.points[pairs.query])
    if fitted is None:
        return None
    matrix = fitted.astype(np.float64)
    long, short = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if not 0 < long <= MAX_STRETCH * short or np.linalg.det(matrix[:, :2]) <= 0:
        return None
    consistent = kept.ravel().astype(bool) & _consistent(query, image, pairs, matrix)
    inliers = len(np.unique(pairs.query[consistent]))
    if inliers < least:
        return None
    of_image, region = _region(query.size, image.size, matrix)
    of_query = of_image * _scale(matrix) ** 2 * np.prod(image.size) / np.prod(query.size)
    overlap = float(max(of_image, of_query))
    parts = len(np.unique(image.points[pairs.image[consistent]] * _PARTS_A_SIDE // image.size, axis=0))
    return Alignment(matrix, inliers, _agreement(query, image, matrix), flipped, overlap, region, parts)


def _matched(query: Features, image: Features) -> Pairs:
    """The nearest keypoint of the query for each of the image that has no rival elsewhere: Lowe 2004, 7.1."""
    if len(query.points) < 2 or not len(image.points):
        return Pairs(np.zeros(0, np.intp), np.zeros(0, np.intp))
    # Not @: on a busy machine BLAS waits for its threads many times longer than so small a product takes.
    cosines = np.einsum("id,qd->iq", image.descriptors, query.descriptors)
    best = cosines.argmax(axis=1)
    x, y = query.points.T
    apart = (x - x[best, np.newaxis]) ** 2 + (y - y[best, np.newaxis]) ** 2 > _NEAR_PX**2
    rival = np.where(apart, cosines, -1).max(axis=1)
    unlike, rival_unlike = 1 - cosines[np.arange(len(best)), best], 1 - rival  # half the squared distances
    at = np.flatnonzero(unlike < _RATIO**2 * rival_unlike)
    return Pairs(best[at], at)


def _consistent(query: Features, image: Features, pairs: Pairs, matrix: Matrix) -> NDArray[np.bool_]:
    """Which pairs are turned and scaled as `matrix` says."""
    turned = query.angles[pairs.query] - image.angles[pairs.image] - _rotation(matrix)
    octaves = np.log2(query.scales[pairs.query] / image.scales[pairs.image] / _scale(matrix))
    straight = np.abs((turned + 180) % 360 - 180) < _TOLERANCE_DEGREES
    return np.asarray(straight & (np.abs(octaves) < _TOLERANCE_OCTAVES))


def _agreement(query: Features, image: Features, matrix: Matrix) -> float:
    """The share of the cells of the image's grey picture, around which it is not flat, that the query has likewise."""
    ours, seen = _as_seen(query, image, matrix)
    theirs = image.grey.astype(np.float32)
    mean_ours, mean_theirs = _mean(ours, seen), _mean(theirs, seen)
    variance_ours = _mean(ours * ours, seen) - mean_ours**2
    variance_theirs = _mean(theirs * theirs, seen) - mean_theirs**2
    covariance = _mean(ours * theirs, seen) - mean_ours * mean_theirs
    textured = (seen > 0) & (np.maximum(variance_ours, variance_theirs) > _MIN_CONTRAST**2)
    if textured.sum() < _MIN_CELLS:
        return 0.0
    correlation = covariance / np.sqrt(np.maximum(variance_ours * variance_theirs, 1e-3))
    return float((correlation[textured] > _AGREES).mean())


def _as_seen(query: Features, image: Features, matrix: Matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The query's grey levels in the cells of the image's grey picture, and 1 where it has any, else 0."""
    height, width = query.grey.shape
    frame = np.diag([image.size[0] / _FRAME, image.size[1] / _FRAME, 1.0])
    warp = np.diag([width / query.size[0], height / query.size[1]]) @ matrix @ frame
    levels, inside = (
        cv2.resize(
            cv2.warpAffine(picture, warp, (_FRAME, _FRAME), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP),
            (GREY_SIDE, GREY_SIDE),
            interpolation=cv2.INTER_AREA,
        ).astype(np.float32)
        for picture in (query.grey, np.full_like(query.grey, 255))
    )
    return levels, (inside > 230).astype(np.float32)


def _mean(values: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over windows, of what is seen."""
    window = (_WINDOW, _WINDOW)
    total = cv2.boxFilter(values * seen, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(seen, -1, window, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total / np.maximum(count, 1), np.float32)


def _region(query: tuple[int, int], image: tuple[int, int], matrix: Matrix) -> tuple[float, tuple[Point, ...]]:
    """How much of the image the query shows, [0, 1], and where."""
    (width, height), back = query, cv2.invertAffineTransform(matrix)
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)]) @ back.T / image
    common = [(float(x), float(y)) for x, y in corners]
    for axis, side, sign in ((0, 0.0, 1.0), (0, 1.0, -1.0), (1, 0.0, 1.0), (1, 1.0, -1.0)):
        common = _clipped(common, axis, side, sign)
    area = cv2.contourArea(np.array(common, np.float32)) if common else 0.0
    return area, tuple((round(x, 4), round(y, 4)) for x, y in common)


def _clipped(polygon: list[Point], axis: int, side: float, sign: float) -> list[Point]:
    """The part of a convex polygon on one side of a line: a step of Sutherland and Hodgman 1974.

    cv2.intersectConvexConvex finds nothing where two polygons are nearly the same, as for every mere recompression.
    """
    kept: list[Point] = []
    for start, end in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        before, after = sign * (start[axis] - side), sign * (end[axis] - side)
        if before >= 0:
            kept.append(start)
        if before * after < 0:
            share = before / (before - after)
            kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
    return kept


def _rotation(matrix: Matrix) -> float:
    """That of the nearest similarity."""
    (a, b), (c, d) = matrix[:, :2]
    return float(np.degrees(np.arctan2(c - b, a + d)))


def _scale(matrix: Matrix) -> float:
    """The square root of what a unit area becomes."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
