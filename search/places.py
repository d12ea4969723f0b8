"""Places on the earth: how far two lie apart, and all that are near to one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from search.errors import BadFilter

EARTH_RADIUS_M = 6_371_008.8
"""The mean radius R1 of the IUGG."""

HALF_WAY_ROUND_KM = 20_016

_ROUNDING = 1e-9
_METERS = {"km": 1000.0, "m": 1.0}
_NUMBER = r"\s*([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*"
_NEAR = re.compile(f"{_NUMBER},{_NUMBER},{_NUMBER}(km|m)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Near:
    """All places up to a `distance` in "km" or "m" from one in degrees, north and east positive."""

    latitude: float
    longitude: float
    distance: float
    unit: str = "km"

    def __post_init__(self) -> None:
        """Raises BadFilter for what is nowhere on the earth."""
        for name, degrees, most in (("latitude", self.latitude, 90), ("longitude", self.longitude, 180)):
            if not -most <= degrees <= most:
                raise BadFilter(f"the {name} is {degrees:g}; it may be from -{most} to {most} degrees")
        if not 0 < self.radius_m <= HALF_WAY_ROUND_KM * 1000:
            raise BadFilter(
                f"the distance is {self.distance:g}{self.unit}; it may be up to {HALF_WAY_ROUND_KM}km, and not 0"
            )

    @classmethod
    def read(cls, text: str) -> Near:
        """From `48.2,16.37,10km`. Raises BadFilter."""
        if not (found := _NEAR.fullmatch(text.strip())):
            raise BadFilter(f"{text[:40]!r} is not a place and a distance in km or m")
        latitude, longitude, distance = (float(number) for number in found.groups()[:3])
        return cls(latitude, longitude, distance, found[4].lower())

    def __str__(self) -> str:
        numbers = (repr(float(value)).removesuffix(".0") for value in (self.latitude, self.longitude, self.distance))
        return ",".join(numbers) + self.unit

    @property
    def radius_m(self) -> float:
        return self.distance * _METERS[self.unit]

    @property
    def radius_degrees(self) -> float:
        """Along a great circle."""
        return math.degrees(self.radius_m / EARTH_RADIUS_M)

    @property
    def latitudes(self) -> tuple[float, float]:
        """No place outside of these is near; a little wide, so that rounding costs none."""
        reach = self.radius_degrees * (1 + _ROUNDING) + _ROUNDING
        return self.latitude - reach, self.latitude + reach

    @property
    def surely(self) -> tuple[float, float]:
        """Degrees of latitude and `weight` times those of longitude from here, up to `most` together, are near.

        (weight, most). So long is the way along the parallel and then along a meridian, and none is shorter than the
        great circle.
        """
        return math.cos(math.radians(self.latitude)), self.radius_degrees * (1 - _ROUNDING) - _ROUNDING


def great_circle_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Meters between two places in degrees on a sphere, by the haversine formula (Sinnott, 1984)."""
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    between = math.sin((other_north - north) / 2) ** 2 + math.cos(north) * math.cos(other_north) * (
        math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, between)))
