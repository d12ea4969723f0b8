"""Pictures' keypoints -> the images that share some of them: votes, whatever an embedding makes of the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from search.feature_records import FeatureRecords
from search.files import replacing
from search.index import Ids, Vectors
from search.index_file import read, write
from search.local_features import COMPONENTS, Features, unpacked
from search.seals import Seal

_MOST_BITS = 8
LEAST_CELLS = 80 * 2**_MOST_BITS
"""Fewer descriptors are compared one by one; of more, about so many train. Three times as many find no more, and by
fewer than 16,000 FAISS 1.15 trains five times as long: it does not make a matrix product of so few.
"""

_CELL = 100
"""About so many descriptors share a cell, up to four times as many before there are more cells."""

_CODE_BYTES = 16
_PROBES = 4
_NEAREST = 8
"""Descriptors that each keypoint votes for, of the cells nearest to it."""

_UNLIKE = 0.25
"""Squared distance of RootSIFT descriptors at which one is a poor match."""

_LEAST_REACH = 1e-6
_COMMON = 0.15
"""What a good match weighs that has as many rivals as a keypoint may vote for: it may be of the frame of a screenshot,
or the picture is here many times.
"""

_IMAGES_AT_ONCE = 250
_SEED = 0


class Vote(NamedTuple):
    """How many keypoints of a picture, or of its mirror image where `flipped`, an image seems to have, by weight."""

    image_id: int
    weight: float
    flipped: bool


class KeypointIndex:
    """The descriptors of all images, in cells. Derived from the catalog's records, a file of its own.

    An inverted multi-index (Babenko and Lempitsky 2012) of product codes (Jégou et al. 2011).
    """

    def __init__(self, index: Any) -> None:
        self._index = index
        self._bits = int(np.log2(index.nlist)) // 2 if isinstance(index, faiss.IndexIVFPQ) else 0

    @classmethod
    def open(cls, file: Path, seal: Seal | None, *, mapped: bool = True) -> Self:
        """Nothing is read but what the seal finds in order. Older releases left none.

        Raises FileNotFoundError where there is no file and CollectionError for one that is damaged or another.
        """
        return cls(read(file, seal, mapped=mapped))

    @classmethod
    def of(cls, records: FeatureRecords, last: Self | None = None) -> Self:
        """The index of all that is kept; `last`, whose cells serve on until there are too few, is changed for it."""
        ids = records.ids()
        count = records.totals().descriptors
        made = last if last is not None and last._bits >= _bits(count) else cls(_trained(records, ids, count))
        held = made.image_ids()
        if len(gone := np.setdiff1d(held, ids)):
            made._index.remove_ids(gone)
        for of_images, rows in _batches(records, np.setdiff1d(ids, held)):
            made._index.add_with_ids(rows, of_images)
        return made

    def save(self, file: Path) -> Seal:
        """Write the file whole, sealed whole: FAISS believes what a list says of its length and its ids."""
        with replacing(file) as aside:
            write(self._index, aside, file)
            return Seal.of(aside)

    def image_ids(self) -> Ids:
        """The images that are in it, ascending."""
        if not self._bits:
            return np.unique(faiss.vector_to_array(self._index.id_map))
        lists = self._index.invlists
        sizes = [lists.list_size(cell) for cell in range(lists.nlist)]
        parts = [faiss.rev_swig_ptr(lists.get_ids(cell), size) for cell, size in enumerate(sizes) if size]
        held = np.zeros(max((int(part.max()) for part in parts), default=-1) + 1, bool)
        for part in parts:
            held[part] = True
        return np.flatnonzero(held)

    def votes(self, pictures: Sequence[tuple[Features, Features]], count: int, least: float) -> list[list[Vote]]:
        """For each picture, given with its mirror image, the `count` images with the most votes, of at least `least`.

        A match weighs the more, up to 1, the nearer it is beside the farthest that the keypoint may vote for.
        """
        sides = [side.descriptors for picture in pictures for side in picture]
        rows = np.concatenate([np.zeros((0, COMPONENTS), np.float32), *sides])
        if not len(rows) or not self._index.ntotal:
            return [[] for _ in pictures]
        distances, ids = self._search(rows)
        known = ids >= 0
        reach = np.where(known, distances, 0).max(axis=1, keepdims=True)
        rare = 1 - distances[known] / np.broadcast_to(np.maximum(reach, _LEAST_REACH), ids.shape)[known]
        weights = np.maximum(rare, _COMMON * (1 - distances[known] / _UNLIKE))
        side = np.repeat(np.arange(len(sides)), [len(rows) for rows in sides])
        stride = int(ids.max()) + 1
        keys, at = np.unique((side[:, np.newaxis] * stride + ids)[known], return_inverse=True)
        total: NDArray[np.float64] = np.bincount(at, weights).astype(np.float64)
        return _ranked(keys[total >= least], total[total >= least], stride, len(pictures), count)

    def _search(self, rows: Vectors) -> tuple[Vectors, Ids]:
        probes = faiss.IVFPQSearchParameters(nprobe=_PROBES) if self._bits else None  # type: ignore[attr-defined]
        distances, ids = self._index.search(rows, _NEAREST, params=probes)
        return distances, ids


def _ranked(keys: Ids, weights: NDArray[np.float64], stride: int, pictures: int, count: int) -> list[list[Vote]]:
    """The votes of each picture, the most first, each image by the side that it has more in common with."""
    found: list[dict[int, Vote]] = [{} for _ in range(pictures)]
    for place in np.argsort(-weights, kind="stable").tolist():
        side, image_id = divmod(int(keys[place]), stride)
        of_picture = found[side // 2]
        if len(of_picture) < count:
            of_picture.setdefault(image_id, Vote(image_id, float(weights[place]), side % 2 == 1))
    return [list(of_picture.values()) for of_picture in found]


def _bits(descriptors: int) -> int:
    """How many bits name a cell in each half of a descriptor; 0 for no cells."""
    if descriptors < LEAST_CELLS:
        return 0
    return min(_MOST_BITS, int(np.log2(descriptors / _CELL) / 2))


def _trained(records: FeatureRecords, ids: Ids, descriptors: int) -> Any:
    """An empty index whose cells and codes suit these images, which have so many descriptors."""
    if not (bits := _bits(descriptors)):
        return faiss.IndexIDMap(faiss.IndexFlatL2(COMPONENTS))
    quantizer: Any = faiss.MultiIndexQuantizer(COMPONENTS, 2, bits)
    index: Any = faiss.IndexIVFPQ(quantizer, COMPONENTS, 4**bits, _CODE_BYTES, 8)
    index.own_fields = True
    quantizer.this.disown()
    index.quantizer_trains_alone = 1
    index.by_residual = False
    sample = np.sort(np.random.default_rng(_SEED).permutation(ids)[: ceil(len(ids) * LEAST_CELLS / descriptors)])
    index.train(np.concatenate([rows for _, rows in _batches(records, sample)]))
    return index


def _batches(records: FeatureRecords, ids: Ids) -> Iterator[tuple[Ids, Vectors]]:
    """The descriptors of images, (n, COMPONENTS), some images at a time, and whose each is, (n,)."""
    for start in range(0, len(ids), _IMAGES_AT_ONCE):
        stored = records.of(ids[start : start + _IMAGES_AT_ONCE].tolist())
        rows = [unpacked(record).descriptors for record in stored.values()]
        if rows:
            yield np.repeat(np.array(list(stored), np.int64), [len(some) for some in rows]), np.concatenate(rows)
