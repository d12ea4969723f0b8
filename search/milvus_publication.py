"""The catalog -> collections in a Milvus server that are complete before anyone searches them.

Each publication makes new ones, under names that nobody else has; the catalog notes these names, and so makes them the
live ones. Then an alias is moved, for other clients of the server, by which it is also known whose the names there are.
What was live before stays until no search can be going on in it.
"""

from __future__ import annotations

import re
import secrets
from functools import partial
from time import time
from typing import TYPE_CHECKING

from search.errors import CollectionError
from search.exact_index import ExactIndex
from search.index import VectorIndex
from search.index_recall import make_probes
from search.kinds import Publication, Served
from search.milvus_collection import Sample, fill, index
from search.milvus_index import MilvusIndex
from search.milvus_place import MilvusPlace
from search.milvus_server import CONNECT_TIMEOUT_S, alias_of, asking, connect, patiently
from search.source import Source
from search.types import TARGETS, IndexFacts, IndexPolicy, Target

if TYPE_CHECKING:
    from pymilvus import MilvusClient

GRACE_S = 120
"""A search that began before a publication has ended, one way or another, so many seconds after it."""


def require_own(place: MilvusPlace, last: Publication) -> None:
    """Raise CollectionError where the server is not there, or where another index has the names than the `last` one."""
    client = connect(place)
    with asking(place):
        _own(client, place, last)


def make_served(
    place: MilvusPlace, source: Source, policy: IndexPolicy, generation: int, last: Publication
) -> Publication:
    """Make and load the collections of `generation`; none of a target without vectors. The caller is the only writer.

    Raises CollectionError where the names at `place` are not those of the `last` publication.
    """
    made = Publication(policy, served=Served(policy.kind))
    client = patiently(place, partial(connect, place))
    patiently(place, lambda: _sweep(client, place, _own(client, place, last)))
    with asking(place):
        samples = {target: Sample(source.dim) for target in TARGETS}
        for target in TARGETS:
            name = f"{_alias(place, target)}_{generation:08d}_{secrets.token_hex(4)}"
            count = fill(client, place, name, source, target, samples[target])
            made.facts[target] = IndexFacts("exact", count)
            if count:
                made.names[target] = name
        for target, name in made.names.items():
            probes = make_probes(target, samples, source.background)
            count = made.facts[target].vectors
            made.facts[target] = index(client, place, name, source.dim, count, policy.min_recall, probes)
    return made


def open_served(known: Publication, dim: int) -> dict[Target, VectorIndex]:
    """Raises FileNotFoundError where they are not there, and CollectionError where the server is not."""
    place = MilvusPlace.read(known.policy.kind)
    return {
        target: MilvusIndex.open(place, known.names[target], dim, known.facts[target])
        if target in known.names
        else ExactIndex.build(dim, ())
        for target in TARGETS
    }


def drop_superseded(last: Publication) -> list[Served]:
    """Drop what no search can be going on in of the publications before the `last` one; returns what stays.

    What is in a server that is out of reach stays, to be tried again the next time.
    """
    return [served for served in last.superseded if not _dropped(served)]


def move_aliases(made: Publication) -> None:
    """Make the aliases, `name`_images and `name`_texts, name the collections of a publication."""
    place = MilvusPlace.read(made.policy.kind)
    client = patiently(place, partial(connect, place))
    for target in TARGETS:
        patiently(place, partial(_move_alias, client, _alias(place, target), made.names.get(target)))


def _move_alias(client: MilvusClient, alias: str, name: str | None) -> None:
    held = alias_of(client, alias)
    if name is None and held:
        client.drop_alias(alias, timeout=CONNECT_TIMEOUT_S)
    elif name and held is None:
        client.create_alias(name, alias, timeout=CONNECT_TIMEOUT_S)
    elif name and held != name:
        client.alter_alias(name, alias, timeout=CONNECT_TIMEOUT_S)


def _alias(place: MilvusPlace, target: Target) -> str:
    return f"{place.name}_{target}"


def _own(client: MilvusClient, place: MilvusPlace, last: Publication) -> set[str]:
    """The collections at `place` that the catalog knows."""
    served = [last.served, *last.superseded]
    own = {name for one in served if one and place.same_names(MilvusPlace.read(one.url)) for name in one.names.values()}
    for target in TARGETS:
        if (taken := alias_of(client, _alias(place, target))) and taken not in own:
            raise CollectionError(
                f"{place} is another collection's index ({taken}); give --index another name, or auto for one in files"
            )
    return own


def _sweep(client: MilvusClient, place: MilvusPlace, own: set[str]) -> None:
    """Drop what interrupted publications left."""
    ours = re.compile(rf"{place.name}_({'|'.join(TARGETS)})_[0-9]{{8,}}_[0-9a-f]{{8}}")
    for name in client.list_collections(timeout=CONNECT_TIMEOUT_S):
        if ours.fullmatch(name) and name not in own:
            client.drop_collection(name, timeout=CONNECT_TIMEOUT_S)


def _dropped(served: Served) -> bool:
    """Whether its collections are gone, or go now; a search may still be going on in them, or the server be away."""
    if served.ended is None or time() < served.ended + GRACE_S:
        return False
    place = MilvusPlace.read(served.url)
    try:
        client = connect(place)
        with asking(place):
            for name in filter(client.has_collection, served.names.values()):
                for alias in client.describe_collection(name, timeout=CONNECT_TIMEOUT_S)["aliases"]:
                    client.drop_alias(alias, timeout=CONNECT_TIMEOUT_S)
                client.drop_collection(name, timeout=CONNECT_TIMEOUT_S)
    except CollectionError:
        return False
    return True
