"""Groups of duplicates as they were found last -> a file beside the catalog, and back: finding them takes minutes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from search.duplicates import Group
from search.errors import CollectionError
from search.files import replacing
from search.types import DUPLICATE_KINDS, DuplicateKind

FILE = "duplicates.json"


class FoundGroup(NamedTuple):
    """Ids of images that are one picture, the best first; `kind` as that of search.duplicates.Group."""

    kind: DuplicateKind
    images: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FoundDuplicates:
    """What a whole search for groups of `kind` found in the index of `generation`; `found_at` is in UTC."""

    kind: DuplicateKind
    generation: int
    found_at: datetime
    groups: tuple[FoundGroup, ...]

    @classmethod
    def now(cls, kind: DuplicateKind, generation: int, groups: Sequence[Group]) -> FoundDuplicates:
        found = (FoundGroup(group.kind, tuple(image.id for image in group.images)) for group in groups)
        return cls(kind, generation, datetime.now(UTC), tuple(found))

    def keep(self, directory: Path) -> None:
        """Write it into the collection's directory, unless what is there says more: of this generation, a wider kind.

        Raises OSError where nothing can be written.
        """
        kept = load(directory)
        if kept and kept.generation == self.generation and _width(kept.kind) > _width(self.kind):
            return
        with replacing(directory / FILE) as aside:
            aside.write_text(json.dumps(self._to_dict()), encoding="utf-8")

    def _to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "generation": self.generation,
            "found_at": self.found_at.isoformat(),
            "groups": [{"kind": group.kind, "images": group.images} for group in self.groups],
        }


def load(directory: Path) -> FoundDuplicates | None:
    """What was kept in a collection's directory, None if nothing was. Raises CollectionError where it is damaged."""
    file = directory / FILE
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return FoundDuplicates(
            kind=_kind(kept["kind"]),
            generation=int(kept["generation"]),
            found_at=datetime.fromisoformat(kept["found_at"]),
            groups=tuple(FoundGroup(_kind(row["kind"]), tuple(map(int, row["images"]))) for row in kept["groups"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError) as error:
        raise CollectionError(f"{file} is damaged: remove it, then python -m indexer duplicates") from error


def _kind(text: str) -> DuplicateKind:
    """Raises ValueError for any other text."""
    return DUPLICATE_KINDS[[str(kind) for kind in DUPLICATE_KINDS].index(text)]


def _width(kind: DuplicateKind) -> int:
    return DUPLICATE_KINDS.index(kind)
