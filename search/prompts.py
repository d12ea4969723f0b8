"""Labels and templates -> the texts that are encoded in their place, such as "a photo of a dog."."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.errors import BadQuery

PLACE = "{}"
"""Where a template takes the label."""

PLAIN = "plain"
TEMPLATE_SETS = (PLAIN, "simple", "imagenet")
"""One template; the 7 and the 80 that OpenAI published for ImageNet, as open_clip ships them."""

_PLAIN = ("a photo of a {}.",)


@dataclass(frozen=True, slots=True)
class Label:
    """What a picture may show.

    `prompts`, where there are any, are encoded in place of the templates. Images get the label as a tag from the
    probability `threshold` on, None for a default; those that have a sensitive one are hidden unless asked for.
    """

    name: str
    prompts: tuple[str, ...] = ()
    threshold: float | None = None
    sensitive: bool = False


def templates_of(name: str) -> tuple[str, ...]:
    """The templates of a set, or the one that is given in place of a name. Raises BadQuery for what is neither."""
    if PLACE in name:
        return (name,)
    if name == PLAIN:
        return _PLAIN
    from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES  # torch comes with it, which takes long

    shipped = {"simple": SIMPLE_IMAGENET_TEMPLATES, "imagenet": OPENAI_IMAGENET_TEMPLATES}
    if name not in shipped:
        known = ", ".join(TEMPLATE_SETS)
        raise BadQuery(f"no templates are called {name[:40]!r}; there are: {known}, or your own with {PLACE}")
    return tuple(template(PLACE) for template in shipped[name])


def prompts(label: str, templates: Sequence[str]) -> list[str]:
    """One text for each template. Raises BadQuery for a template that leaves the label out."""
    if without := [template for template in templates if PLACE not in template]:
        raise BadQuery(f"the template {without[0]!r} does not say with {PLACE} where the label goes")
    return [template.replace(PLACE, label) for template in templates]
