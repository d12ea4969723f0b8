"""How hits are ranked and come, as JSON Schema for schemas.py and openapi.py."""

from __future__ import annotations

from search.grouping import ALIKE
from search.paging import SORTS
from search.prompts import TEMPLATE_SETS
from search.types import RANKINGS
from web.params import YES_OR_NO
from web.shapes import Schema, string

SORT: Schema = {
    "type": "string",
    "enum": list(SORTS),
    "default": "relevance",
    "description": "by time only matches come",
}
RANKING: Schema = {
    "type": "string",
    "enum": list(RANKINGS),
    "default": "balanced",
    "description": "balanced: terms weigh alike and nothing is near to every text; cosine: in the order of scores",
}
AFTER = string("the next of the page before")
TEMPLATES = string(
    f"the mean of a text in all of these stands for it: {', '.join(TEMPLATE_SETS)}, or one of your own with {{}}"
)

_YES_OR_NO = {
    "exact": "whether every vector is compared, whatever the index",
    "group": f"whether hits with a cosine of {ALIKE} or more stand behind the first of them",
    "diverse": "whether what shows something else comes before more of the same; by relevance only",
}

_SWITCHES: dict[str, Schema] = {
    name: {"type": "boolean", "default": False, "description": text} for name, text in _YES_OR_NO.items()
}
_WORDS: dict[str, Schema] = {
    name: {**schema, "type": "string", "enum": list(YES_OR_NO), "default": "no"} for name, schema in _SWITCHES.items()
}

REFINED: dict[str, Schema] = {"sort": SORT, "ranking": RANKING, **_SWITCHES, "templates": TEMPLATES, "after": AFTER}
REFINED_ARGUMENTS: dict[str, Schema] = {**REFINED, **_WORDS}
