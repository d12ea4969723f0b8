"""An upright RGB picture -> its local features, and these -> the few bytes of them that a catalog keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST = 128
"""Pixels on the longer side of the version that an image's features are taken from; SIFT doubles it first.

More, up to 320, find no more of the edits that were measured, and take up to five times as long.
"""

COMPONENTS = 128
"""Of a descriptor."""

QUERY_LONGEST = 320

QUERY_KEYPOINTS = 600
"""So many, because any part of a query may be what an image shows."""

GREY_SIDE = 32
"""The small grey picture that is kept: only coarse shapes, which survive nearly every edit."""

_REDUCING_GAP = 2.0
_SMALL = 160
"""Pixels on the longer side below which a picture is doubled, for it would have too few keypoints."""

_CELLS = 4
_COARSE = 6.0
"""Diameters from which on a keypoint is still there when the picture is a quarter as large."""

_CONTRAST = 0.02
_LEAST_RANGE = 64
"""Grey levels that a picture spans, but for its darkest and brightest hundredth. In a fainter one SIFT sees nothing."""

_MOST_GAIN = 4.0
_MANY = 400
"""From so many keypoints on, describing all that there are costs less than making SIFT's scale space a second time."""

_LEVELS = 40.0
"""A component of a unit RootSIFT descriptor times this is kept in four bits: few are above 15 / 40."""

_ANGLE_STEP = 360 / 256
_SCALES_AN_OCTAVE = 16

cv2.setNumThreads(1)  # builds and servers have threads of their own

_POINT = np.dtype([("at", "<u2", 2), ("scale", "u1"), ("angle", "u1"), ("descriptor", "u1", 64)])
_HEAD = np.dtype([("size", "<u2", 2), ("grey", "u1", (GREY_SIDE, GREY_SIDE))])


@dataclass(frozen=True, slots=True)
class Features:
    """SIFT keypoints of one picture, and the picture itself, small and grey."""

    size: tuple[int, int]
    """Width and height in pixels of the version that `points` and `scales` are measured in."""
    points: NDArray[np.float32]
    """(n, 2): x and y."""
    scales: NDArray[np.float32]
    """(n,): diameters."""
    angles: NDArray[np.float32]
    """(n,): degrees, clockwise."""
    descriptors: NDArray[np.float32]
    """(n, COMPONENTS): RootSIFT, unit rows."""
    grey: NDArray[np.uint8]
    """(height, width): the whole picture; GREY_SIDE by GREY_SIDE, its aspect lost, where `size` is another."""


def query_features(image: Image.Image) -> Features:
    """The features of a query picture: many, and the grey picture as large as it is read."""
    grey = shrunk(image, QUERY_LONGEST)
    return replace(features_of(grey, count=QUERY_KEYPOINTS), grey=grey)


def mirrored(features: Features) -> Features:
    """The features of the mirror image: a descriptor's cells across its own direction change places, and its bins."""
    cells = features.descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    return Features(
        features.size,
        _across(features),
        features.scales,
        (180 - features.angles) % 360,
        cells[..., -np.arange(8) % 8].reshape(-1, COMPONENTS),
        np.ascontiguousarray(features.grey[:, ::-1]),
    )


def _across(features: Features) -> NDArray[np.float32]:
    points = features.points.copy()
    points[:, 0] = features.size[0] - 1 - points[:, 0]
    return points


def shrunk(image: Image.Image, longest: int = LONGEST) -> NDArray[np.uint8]:
    """(height, width) grey levels of the picture with `longest` pixels on its longer side, at most twice its own."""
    scale = longest / max(image.size)
    scale = min(scale, 2.0 if max(image.size) < _SMALL else 1.0)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return np.asarray(small.convert("L"))


def features_of(grey: NDArray[np.uint8], *, count: int) -> Features:
    """At most `count` keypoints of (height, width) grey levels, the strongest of each part of the picture first.

    SIFT: Lowe 2004. RootSIFT: Arandjelovic and Zisserman 2012.
    """
    sift, seen = cv2.SIFT.create(contrastThreshold=_CONTRAST), _contrasted(grey)
    keypoints, found = _described(sift, seen, count)
    raw = np.zeros((0, COMPONENTS), np.float32) if found is None else found
    descriptors = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return Features(
        (grey.shape[1], grey.shape[0]),
        np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2),
        np.array([keypoint.size for keypoint in keypoints], np.float32),
        np.array([keypoint.angle for keypoint in keypoints], np.float32),
        descriptors,
        cv2.resize(grey, (GREY_SIDE, GREY_SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8),
    )


def _described(sift: cv2.SIFT, seen: NDArray[np.uint8], count: int) -> tuple[Sequence[cv2.KeyPoint], Any]:
    """The keypoints that are kept, and their (n, COMPONENTS) descriptors, None where there are none."""
    if count < _MANY:
        keypoints = sift.detect(seen, None)
        kept = [keypoints[at] for at in _spread(keypoints, seen.shape)[:count]]
        return sift.compute(seen, kept) if kept else ((), None)
    keypoints, found = sift.detectAndCompute(seen, None)
    at = _spread(keypoints, seen.shape)[:count]
    return [keypoints[one] for one in at], None if found is None else found[at]


def _contrasted(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same grey levels, or farther apart where the picture is faint: descriptors do not depend on it."""
    share = np.bincount(grey.ravel(), minlength=256).cumsum() / grey.size
    low, high = np.searchsorted(share, (0.01, 0.99)).tolist()
    gain = min(_LEAST_RANGE / max(high - low, 1), _MOST_GAIN)
    return grey if gain <= 1 else cv2.convertScaleAbs(np.maximum(grey, low) - low, alpha=gain).astype(np.uint8)


def _spread(keypoints: Sequence[cv2.KeyPoint], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The order in which keypoints are kept: the strongest of every cell of a grid, the second of every cell..."""
    if not keypoints:
        return np.zeros(0, np.intp)
    points = np.array([keypoint.pt for keypoint in keypoints])
    strength = np.array([keypoint.response for keypoint in keypoints])
    coarse = np.array([keypoint.size for keypoint in keypoints]) >= _COARSE
    column, row = np.minimum(points * _CELLS // (shape[1], shape[0]), _CELLS - 1).astype(int).T
    cell = (row * _CELLS + column) * 2 + coarse
    order = np.lexsort((-strength, cell))
    starts = np.searchsorted(cell[order], cell[order])
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order)) - starts
    return np.lexsort((-strength, rank))


def packed(features: Features) -> bytes:
    """The features in 1,028 bytes and 70 a keypoint."""
    head = np.zeros((), _HEAD)
    head["size"], head["grey"] = features.size, features.grey
    points = np.zeros(len(features.points), _POINT)
    points["at"] = np.clip(features.points / features.size * 65535, 0, 65535).round()
    points["scale"] = np.clip(np.log2(np.maximum(features.scales, 1)) * _SCALES_AN_OCTAVE, 0, 255).round()
    points["angle"] = (features.angles / _ANGLE_STEP).round().astype(int) % 256
    levels = np.minimum(features.descriptors * _LEVELS, 15).round().astype(np.uint8)
    points["descriptor"] = levels[:, ::2] << 4 | levels[:, 1::2]
    return head.tobytes() + points.tobytes()


def record_of(image: Image.Image, keypoints: int) -> bytes:
    """What a catalog keeps of an upright RGB picture."""
    return packed(features_of(shrunk(image), count=keypoints))


def unpacked(record: bytes) -> Features:
    """What `packed` made, to the accuracy that it keeps."""
    head = np.frombuffer(record, _HEAD, 1)[0]
    points = np.frombuffer(record, _POINT, offset=_HEAD.itemsize)
    size = (int(head["size"][0]), int(head["size"][1]))
    levels = np.stack([points["descriptor"] >> 4, points["descriptor"] & 15], axis=2).reshape(-1, COMPONENTS)
    descriptors = levels.astype(np.float32)
    descriptors /= np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
    return Features(
        size,
        (points["at"] * (np.array(size, np.float32) / np.float32(65535))).astype(np.float32),
        np.exp2(points["scale"] / np.float32(_SCALES_AN_OCTAVE)).astype(np.float32),
        (points["angle"] * np.float32(_ANGLE_STEP)).astype(np.float32),
        descriptors,
        head["grey"],
    )
