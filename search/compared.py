"""What a search for duplicates found, kept beside the catalog so that the next one compares only what is new."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from search.errors import CollectionError
from search.files import replacing
from search.index import Ids

COMPARED_FILE = "compared.npz"

_RULES = 2
"""Another number when other pairs would be found: what was kept by older rules is not read."""

Pairs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Compared:
    """`images`, ascending ids, were compared with all others; `pairs`, (n, 2), the smaller id first, are one picture.

    An id means one picture for ever, so nothing of it can become wrong.
    """

    images: Ids
    pairs: Pairs

    @classmethod
    def none(cls) -> Self:
        return cls(np.zeros(0, np.int64), np.zeros((0, 2), np.int64))

    def among(self, ids: Ids) -> Compared:
        """The same without images that are gone; `ids` ascend."""
        return Compared(np.intersect1d(self.images, ids), self.pairs[np.isin(self.pairs, ids).all(axis=1)])

    def and_also(self, images: Ids, pairs: Pairs) -> Compared:
        found = np.concatenate([self.pairs, pairs.reshape(-1, 2)])
        return Compared(np.union1d(self.images, images), np.unique(found, axis=0))


def load_compared(file: Path) -> dict[str, Compared]:
    """What was found of each kind; of kinds that nobody looked for nothing. Raises CollectionError for damage."""
    try:
        with file.open("rb") as stream, np.load(stream) as kept:
            if int(kept["rules"]) != _RULES:
                return {}
            kinds = [name.removeprefix("images_") for name in kept.files if name.startswith("images_")]
            return {kind: Compared(kept[f"images_{kind}"], kept[f"pairs_{kind}"]) for kind in kinds}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, BadZipFile, EOFError) as error:
        raise CollectionError(f"{file} is damaged; remove it, and all images are compared again") from error


def save_compared(file: Path, kinds: dict[str, Compared]) -> None:
    arrays = {f"images_{kind}": found.images for kind, found in kinds.items()}
    arrays |= {f"pairs_{kind}": found.pairs for kind, found in kinds.items()}
    with replacing(file) as aside, aside.open("wb") as stream:
        np.savez(stream, rules=np.int64(_RULES), **arrays)  # type: ignore[arg-type]
