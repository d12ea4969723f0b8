"""Where pictures were taken -> shown, or kept to their owner: coordinates, filters by place, blocks in the files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flask import Flask, current_app

from search.errors import BadFilter
from search.expression import Condition
from search.types import Facts

_FIELDS = frozenset(("near", "place"))


def register(app: Flask, *, shown: bool) -> None:
    app.config["PLACES_SHOWN"] = shown


def are_shown() -> bool:
    """Whether the application that answers now tells where pictures were taken."""
    return bool(current_app.config["PLACES_SHOWN"])


def shown(facts: Facts) -> Facts:
    """What may be told of an image."""
    return facts if are_shown() else replace(facts, latitude=None, longitude=None)


def check(conditions: Iterable[Condition]) -> None:
    """Raises BadFilter for a condition whose matches would tell a place that is not shown."""
    if not are_shown() and any(condition.field in _FIELDS for condition in conditions):
        raise BadFilter(
            "this server does not tell where pictures were taken, and so cannot be asked by place (near:, place:); "
            "it would be started with --show-places"
        )
