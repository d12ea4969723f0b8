"""A seeded random source and things -> a scene: what is drawn, where, how large, on what ground, in what light.

A scene is only described here: `paint.py` draws it and `captions.py` puts it into words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from zlib import crc32

RGB = tuple[int, int, int]

COLORS: dict[str, RGB] = {
    "red": (205, 45, 45),
    "orange": (245, 150, 50),
    "yellow": (250, 220, 85),
    "green": (75, 165, 80),
    "light green": (175, 225, 150),
    "dark green": (25, 85, 50),
    "turquoise": (70, 195, 190),
    "light blue": (160, 210, 245),
    "blue": (55, 115, 210),
    "dark blue": (25, 40, 100),
    "purple": (130, 75, 170),
    "pink": (245, 165, 195),
    "brown": (125, 85, 55),
    "beige": (235, 220, 190),
    "white": (248, 248, 248),
    "gray": (150, 150, 150),
    "black": (25, 25, 28),
}
PLACES = ("meadow", "beach", "night", "snow", "sea", "table", "sunset", "bricks")
PATTERNS = ("gradient", "stripes", "dots", "checks")
EFFECTS = ("blur", "noise", "dim", "gray")

HELD_OUT_IN = 5  # one pair of things in so many is kept out of training
CROWD = ((1, 0.32), (2, 0.30), (3, 0.21), (4, 0.17))  # objects in a scene: how many, how often
SIZES = {1: (0.45, 0.92), 2: (0.36, 0.52), 3: (0.3, 0.44), 4: (0.28, 0.4)}  # share of the picture's side


@dataclass(frozen=True)
class Thing:
    """Something to draw: its CLDR name, its CLDR keywords, and the styles that have it."""

    name: str
    keywords: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True)
class Ground:
    """What lies behind: a plain color, a pattern of two, or a place; `turn` in [0, 1) shifts or turns a pattern."""

    kind: str
    colors: tuple[str, ...]
    rgb: tuple[RGB, ...]
    turn: float


@dataclass(frozen=True)
class Placed:
    """One drawn object: centre and size as shares of the picture's side, angle in degrees counter-clockwise."""

    thing: Thing
    style: str
    x: float
    y: float
    size: float
    angle: float
    mirrored: bool


@dataclass(frozen=True)
class Scene:
    """All there is to draw and to say; equal things stand together in `placed`."""

    placed: tuple[Placed, ...]
    ground: Ground
    effect: str | None
    shadow: bool
    seed: int

    @property
    def groups(self) -> list[list[Placed]]:
        """The objects, one list for each thing."""
        named: dict[str, list[Placed]] = {}
        for placed in self.placed:
            named.setdefault(placed.thing.name, []).append(placed)
        return list(named.values())


def held_out(first: Thing, second: Thing) -> bool:
    """Whether these two are never drawn together in training; the same in either order."""
    pair = "|".join(sorted((first.name, second.name)))
    return crc32(pair.encode()) % HELD_OUT_IN == 0


def make_scene(
    rng: Random, things: Sequence[Thing], *, unseen: bool = False, crowd: int | None = None, ease: float = 0.0
) -> Scene:
    """A random scene of one to four objects, or of `crowd`.

    With `unseen` every pair of different things in it is one that training never draws together; otherwise none is.
    `ease` in [0, 1] is for lessons: that share of the scenes shows one thing only, the larger, the more upright and the
    nearer to the middle of a plain ground the greater the ease.
    """
    if rng.random() < ease:
        return _make_easy(rng, rng.choice(things), ease)
    count = crowd or rng.choices([n for n, _ in CROWD], [share for _, share in CROWD])[0]
    chosen = _choose(rng, things, count, unseen)
    spots = _spots(rng, count)
    placed = [_place(rng, thing, spot) for thing, spot in zip(chosen, spots, strict=True)]
    effect = rng.choice(EFFECTS) if rng.random() < 0.14 else None
    return Scene(tuple(placed), _ground(rng), effect, rng.random() < 0.4, rng.getrandbits(32))


def _make_easy(rng: Random, thing: Thing, ease: float) -> Scene:
    smallest, largest = SIZES[1]
    freedom = 1 - ease
    size = largest - freedom * rng.uniform(0, largest - smallest)
    reach = freedom * (0.5 - 0.46 * size)
    spot = 0.5 + rng.uniform(-reach, reach), 0.5 + rng.uniform(-reach, reach), size
    placed = Placed(thing, rng.choice(thing.styles), *spot, rng.gauss(0, 7) * freedom, rng.random() < 0.3 * freedom)
    ground = _colored(rng, "plain", 1) if rng.random() < ease else _ground(rng)
    return Scene((placed,), ground, None, False, rng.getrandbits(32))


def _choose(rng: Random, things: Sequence[Thing], count: int, unseen: bool) -> list[Thing]:
    """As many things as asked, some repeated, equal ones side by side in the list."""
    kinds = 1 if count > 1 and rng.random() < 0.15 else rng.randint(max(1, count - 1), count) if count > 2 else count
    chosen = [rng.choice(things)]
    for _ in range(20 * len(things)):
        if len(chosen) == kinds:
            return sorted(chosen + [rng.choice(chosen) for _ in range(count - kinds)], key=chosen.index)
        thing = rng.choice(things)
        if all(thing is not other and held_out(thing, other) == unseen for other in chosen):
            chosen.append(thing)
    return _choose(rng, things, count, unseen)  # a dead end: nothing goes with all of these


def _spots(rng: Random, count: int) -> list[tuple[float, float, float]]:
    """(x, y, size) of so many objects that hardly touch; they shrink while no free place is found."""
    smallest, largest = SIZES[count]
    scale = 1.0
    spots: list[tuple[float, float, float]] = []
    while len(spots) < count:
        size = scale * rng.uniform(smallest, largest)
        margin = 0.46 * size
        x, y = rng.uniform(margin, 1 - margin), rng.uniform(margin, 1 - margin)
        if all(math.dist((x, y), (other[0], other[1])) > 0.54 * (size + other[2]) for other in spots):
            spots.append((x, y, size))
        else:
            scale = max(0.5, scale * 0.985)
    return spots


def _place(rng: Random, thing: Thing, spot: tuple[float, float, float]) -> Placed:
    kind = rng.random()
    angle = rng.gauss(0, 7) if kind < 0.82 else rng.uniform(-45, 45) if kind < 0.95 else rng.uniform(135, 225)
    return Placed(thing, rng.choice(thing.styles), *spot, angle, rng.random() < 0.3)


def _ground(rng: Random) -> Ground:
    kind = rng.random()
    if kind < 0.4:
        return _colored(rng, "plain", 1)
    if kind < 0.7:
        return _colored(rng, rng.choice(PATTERNS), 2)
    return Ground(rng.choice(PLACES), (), (), rng.random())


def _colored(rng: Random, kind: str, count: int) -> Ground:
    names = tuple(rng.sample(list(COLORS), count))
    return Ground(kind, names, tuple(_shade(rng, COLORS[name]) for name in names), rng.random())


def _shade(rng: Random, rgb: RGB) -> RGB:
    """The color, a little off."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-14, 14))) for channel in rgb)
    return red, green, blue
