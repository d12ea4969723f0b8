"""A verdict and what says so -> plain words: "turned 90° clockwise, cropped to 45 % of it, scaled to 50 %"."""

from __future__ import annotations

from collections.abc import Iterator

from search.lookup import Verdict
from search.same_picture import Evidence

WHOLE = 0.97
"""From which share on an image counts as shown whole, and a picture as filled: the alignment is not finer."""

_STRAIGHT_DEGREES = 2
_SAME_SCALE = 0.05

WORDS: dict[Verdict, str] = {
    "identical": "identical file",
    "identical-pixels": "same pixels in another file",
    "edited": "edited",
    "look-alike": "looks like it",
    "unverified": "cannot be told",
}


def in_words(verdict: Verdict, evidence: Evidence | None) -> str:
    """What an image is to the picture that was looked up; of an edit also what was done to the image."""
    return f"{WORDS[verdict]}: {edit_in_words(evidence)}" if verdict == "edited" and evidence else WORDS[verdict]


def edit_in_words(evidence: Evidence) -> str:
    """What was done to an image to make the picture of it, as far as where things lie says so."""
    return ", ".join(_done(evidence)) or "the same frame, with other colors, quality or things on it"


def _done(evidence: Evidence) -> Iterator[str]:
    if evidence.flipped:
        yield "mirrored"
    degrees = round(abs(evidence.rotation))
    if degrees >= _STRAIGHT_DEGREES:
        side = " clockwise" if evidence.rotation > 0 else " counterclockwise"
        yield f"turned {degrees}°{side if degrees < 180 else ''}"
    if not is_whole(evidence):
        yield f"cropped to {_percent(evidence.shown)} of it"
    if evidence.fills < WHOLE:
        yield f"within a larger picture, of which it fills {_percent(evidence.fills)}"
    if abs(evidence.scale - 1) > _SAME_SCALE:
        yield f"scaled to {_percent(evidence.scale)}"


def is_whole(evidence: Evidence) -> bool:
    """Whether the picture shows the whole image."""
    return evidence.shown >= WHOLE


def _percent(share: float) -> str:
    return f"{max(round(100 * share), 1):,} %"
