"""The indexes of a collection: made of the catalog in files of its directory, or where a URL says; opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import time

from search.exact_index import ExactIndex
from search.fact_columns import FactColumns
from search.index import VectorIndex
from search.index_recall import make_probes
from search.kinds import Publication, Served, choose, open_index
from search.milvus_place import MilvusPlace, is_milvus
from search.source import Source
from search.types import TARGETS, IndexPolicy, Target

FACTS: dict[Target, str] = {"images": "facts", "texts": "text-facts"}
"""Where the columns of facts are that filters ask."""

PUBLISHED = (*FACTS.values(), "keypoints", *TARGETS)
"""What a generation has files of."""

LastIndex = Callable[[Target], VectorIndex | None]


def index_file(directory: Path, of: str, generation: int) -> Path:
    """Of one of PUBLISHED."""
    return directory / f"{of}-{generation:08d}.{'npy' if of in FACTS.values() else 'faiss'}"


def require_place(policy: IndexPolicy, last: Publication) -> None:
    """Raise CollectionError where no index can be made as `policy` asks, before a build finds out at its end."""
    if is_milvus(policy.kind):
        from search.milvus_publication import require_own

        require_own(MilvusPlace.read(policy.kind), last)


def make_indexes(
    directory: Path,
    source: Source,
    policy: IndexPolicy,
    generation: int,
    *,
    last: Publication,
    last_index: LastIndex,
) -> Publication:
    """The indexes of `generation`, whole, as `policy` asks for them; nobody knows of them yet.

    `last` is what is live. The caller is the only writer. Raises CollectionError where there is no place for them.
    """
    superseded: list[Served] = []
    if last.superseded:
        from search.milvus_publication import drop_superseded

        superseded = drop_superseded(last)
    if not is_milvus(policy.kind):
        made = _files(directory, source, policy, generation, last_index)
    else:
        from search.milvus_publication import make_served

        made = make_served(MilvusPlace.read(policy.kind), source, policy, generation, last)
    if last.served:
        superseded.append(replace(last.served, ended=time()))  # the catalog will name the other one in a moment
    made.superseded.extend(superseded)
    return made


def open_indexes(directory: Path, known: Publication, generation: int, dim: int) -> dict[Target, VectorIndex]:
    """Raises FileNotFoundError where they are not there, and CollectionError for damaged or other ones."""
    if known.served:
        from search.milvus_publication import open_served

        return open_served(known, dim)
    opened = {
        target: open_index(index_file(directory, target, generation), known.seals.get(target)) for target in TARGETS
    }
    for target, name in FACTS.items():
        if seal := known.seals.get(name):  # older releases published none
            opened[target].facts = FactColumns.open(index_file(directory, name, generation), seal)
    return {**opened}


def announce(made: Publication) -> None:
    """Tell other users of the server which indexes are the live ones now."""
    if made.served:
        from search.milvus_publication import move_aliases

        move_aliases(made)


def _files(directory: Path, source: Source, policy: IndexPolicy, generation: int, last_index: LastIndex) -> Publication:
    exact = {target: ExactIndex.build(source.dim, source.vectors(target)) for target in TARGETS}
    made = Publication(policy)
    for target in TARGETS:
        probes = make_probes(target, exact, source.background)
        index, made.facts[target] = choose(exact[target], policy, probes, last_index(target))
        made.seals[target] = index.save(index_file(directory, target, generation))
    for target, name in FACTS.items():
        facts = FactColumns.of(source.catalog.bulk.facts(target))
        made.seals[name] = facts.save(index_file(directory, name, generation))
    return made
