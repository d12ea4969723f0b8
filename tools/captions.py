"""A scene -> one of the many ways to say truly what is in it."""

import re
from random import Random

from tools.scenes import SIZES, Ground, Placed, Scene

NUMBERS = {
    2: ("two", "two", "2", "a pair of", "some"),
    3: ("three", "three", "3", "several"),
    4: ("four", "four", "4", "several"),
}
MASS = frozenset(
    {
        "bacon",
        "beans",
        "bread",
        "broccoli",
        "butter",
        "camping",
        "clothes",
        "coral",
        "dna",
        "fog",
        "ginger",
        "ice",
        "milk",
    }
    | {"jeans", "mate", "people", "popcorn", "rice", "sake", "salt", "soap", "spaghetti", "sushi", "wood", "yarn"}
)
SINGULAR_IN_S = frozenset(
    {"abacus", "bus", "cactus", "compass", "dress", "fleur-de-lis", "glass", "lotus", "octopus", "Claus"}
)
IRREGULAR = {same: same for same in ("bison", "deer", "fish", "moose", "people", "sheep", "shrimp", "squid")} | {
    "child": "children",
    "elf": "elves",
    "foot": "feet",
    "goose": "geese",
    "knife": "knives",
    "leaf": "leaves",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "tooth": "teeth",
    "wolf": "wolves",
    "woman": "women",
}
HEAD_ENDS = re.compile(
    r" (?=(?:with|of|on|in|without|and|behind|at|over|from|(?!building|viewing|\w+ing face)\w+ing)\b)"
)

MEDIA = ("a picture of", "a photo of", "an image of", "a drawing of", "an illustration of", "a cartoon of", "a view of")
PLACE_PHRASES = {
    "meadow": (
        "on a meadow",
        "on green grass",
        "on a grassy hill",
        "outdoors on the grass",
        "on a lawn under a blue sky",
    ),
    "beach": ("on a beach", "on the sand by the sea", "at the seaside", "on a sandy shore"),
    "night": ("at night", "under the stars", "in a starry sky", "in front of a night sky", "in the dark night"),
    "snow": ("in the snow", "on a snowy field", "in winter", "on snow"),
    "sea": ("at sea", "on the water", "on blue waves", "in the ocean"),
    "table": ("on a wooden table", "on a table", "on wooden boards", "on wood"),
    "sunset": ("at sunset", "at dusk", "in the evening light", "under an orange evening sky"),
    "bricks": ("in front of a brick wall", "on red bricks", "against a brick wall"),
}
PATTERN_PHRASES = {
    "plain": ("on {first}", "on {a_first} background", "in front of {a_first} wall", "with {first} behind"),
    "gradient": ("on {first} fading to {second}", "on {a_first} and {second} gradient", "on {first} and {second}"),
    "stripes": ("on {first} and {second} stripes", "on a striped {first} and {second} background", "on stripes"),
    "dots": ("on {first} with {second} dots", "on a dotted {first} and {second} background", "on polka dots"),
    "checks": ("on {first} and {second} checks", "on {a_first} and {second} checkerboard", "on a checkered ground"),
}
EFFECT_PHRASES = {
    "blur": ("blurred", "out of focus", "blurry"),
    "noise": ("noisy", "grainy", "with grain"),
    "dim": ("dark", "in dim light", "badly lit"),
    "gray": ("in black and white", "without color", "grayscale"),
}
RELATIONS = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "underneath"),
}
CORNERS = {
    (0, 0): ("in the upper left", "in the top left corner"),
    (1, 0): ("at the top",),
    (2, 0): ("in the upper right", "in the top right corner"),
    (0, 1): ("on the left",),
    (1, 1): ("in the middle", "in the center"),
    (2, 1): ("on the right",),
    (0, 2): ("in the lower left", "in the bottom left corner"),
    (1, 2): ("at the bottom",),
    (2, 2): ("in the lower right", "in the bottom right corner"),
}


def describe(scene: Scene, rng: Random, *, ground_share: float = 0.55) -> str:
    """A sentence or phrase that names every thing in the scene, and perhaps counts, places, ground and light.

    The ground is spoken of in this share of the sentences.
    """
    colorless = scene.effect == "gray" and scene.ground.colors
    ground = _ground(scene.ground, rng) if rng.random() < ground_share and not colorless else ""
    objects = _objects(scene, rng)
    match rng.randrange(6):
        case 0:
            said = f"{rng.choice(MEDIA)} {objects} {ground}"
        case 1 if ground:
            said = f"{ground}, {objects}"
        case 2:
            said = f"{_there_is(objects)} {objects} {ground}"
        case _:
            said = f"{objects} {ground}"
    if scene.effect and rng.random() < 0.6:
        said = f"{said}, {rng.choice(EFFECT_PHRASES[scene.effect])}"
    return _finish(said, rng)


def hint(scene: Scene, rng: Random) -> str:
    """A few words as one types them into a search box: a name, some names, or keywords; true, but not everything."""
    things = [group[0].thing for group in scene.groups]
    thing = rng.choice(things)
    if rng.random() < 0.4 and thing.keywords:
        words = rng.sample(thing.keywords, min(len(thing.keywords), rng.randint(1, 4)))
        return " ".join([thing.name, *words] if rng.random() < 0.5 else words)
    names = [other.name for other in rng.sample(things, rng.randint(max(1, len(things) - 1), len(things)))]
    return rng.choice((" ", ", ", " and ")).join(names)


def label(name: str) -> str:
    """The phrase for naming one thing, zero-shot."""
    return f"a picture of {with_article(name)}"


def with_article(name: str) -> str:
    """ "a dog", "an apple"; nothing before what is a mass or plural already."""
    head = HEAD_ENDS.split(name)[0].split()[-1]
    if head in MASS or _is_plural(head):
        return name
    vowel = re.match(r"[aeio]|hour|x-|u(?!ni|ti|s|ku)|[FLMNRS][A-Z]", name) and not re.match(r"one-|euro|ewe", name)
    return f"{'an' if vowel else 'a'} {name}"


def plural(name: str) -> str:
    """ "dogs", "slices of pizza": the head of the name in the plural."""
    head, *rest = HEAD_ENDS.split(name, maxsplit=1)
    *before, noun = head.split()
    return " ".join([*before, _plural_noun(noun), *rest])


def _plural_noun(noun: str) -> str:
    if noun in IRREGULAR or _is_plural(noun):
        return IRREGULAR.get(noun, noun)
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + "s"


def _is_plural(noun: str) -> bool:
    return noun.endswith("s") and not noun.endswith("ss") and noun not in SINGULAR_IN_S


def _objects(scene: Scene, rng: Random) -> str:
    """Every group of equal things, as a list or as a relation."""
    groups = scene.groups
    if len(groups) == 2 and rng.random() < 0.45 and (relation := _relation(groups, rng)):
        return relation
    phrases = [_group(group, len(scene.placed), rng) for group in groups]
    if len(scene.placed) == 1:
        return f"{phrases[0]} {_corner(scene.placed[0], rng)}" if rng.random() < 0.2 else phrases[0]
    rng.shuffle(phrases)
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + rng.choice((" and ", " and ", " next to ", " with ", ", ")) + phrases[-1]


def _group(group: list[Placed], crowd: int, rng: Random) -> str:
    name = group[0].thing.name
    if len(group) > 1:
        return f"{rng.choice(NUMBERS[len(group)])} {plural(name)}"
    if rng.random() < 0.35 and (adjective := _adjective(group[0], crowd, rng)):
        return with_article(f"{adjective} {name}")
    return with_article(name)


def _there_is(objects: str) -> str:
    """An opening that agrees with what follows."""
    return "there is" if objects.startswith(("a ", "an ")) and not objects.startswith("a pair") else "one can see"


def _adjective(placed: Placed, crowd: int, rng: Random) -> str:
    """What is remarkable about its turn or its size, if anything."""
    turned = abs((placed.angle + 180) % 360 - 180)
    if turned > 130:
        return "upside-down"
    if turned > 25:
        return "tilted"
    smallest, largest = SIZES[crowd]
    share = (placed.size - smallest) / (largest - smallest)
    return rng.choice(("big", "large")) if share > 0.8 else rng.choice(("small", "little")) if share < 0.2 else ""


def _relation(groups: list[list[Placed]], rng: Random) -> str:
    """Where the first group stands, seen from the second, if that is plain to see."""
    first, second = rng.sample(groups, 2)
    dx, dy = (_mean(first, axis) - _mean(second, axis) for axis in "xy")
    crowd = len(first) + len(second)
    if max(abs(dx), abs(dy)) < 0.2 or 0.6 < abs(dx) / (abs(dy) + 1e-6) < 1.6:
        return ""
    side = ("left" if dx < 0 else "right") if abs(dx) > abs(dy) else ("above" if dy < 0 else "below")
    return f"{_group(first, crowd, rng)} {rng.choice(RELATIONS[side])} {_group(second, crowd, rng)}"


def _mean(group: list[Placed], axis: str) -> float:
    return sum(float(getattr(placed, axis)) for placed in group) / len(group)


def _corner(placed: Placed, rng: Random) -> str:
    column, row = (0 if share < 0.4 else 2 if share > 0.6 else 1 for share in (placed.x, placed.y))
    return rng.choice(CORNERS[column, row])


def _ground(ground: Ground, rng: Random) -> str:
    """The ground as a phrase that follows the objects."""
    if ground.kind in PLACE_PHRASES:
        return rng.choice(PLACE_PHRASES[ground.kind])
    first, second = ground.colors[0], ground.colors[-1]
    phrase = rng.choice(PATTERN_PHRASES[ground.kind])
    return phrase.format(first=first, second=second, a_first=with_article(first))


def _finish(said: str, rng: Random) -> str:
    """One space between words, and now and then a capital and a full stop."""
    said = " ".join(said.split()).replace(" ,", ",")
    return said[0].upper() + said[1:] + "." if rng.random() < 0.3 else said
