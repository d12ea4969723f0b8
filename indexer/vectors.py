"""Files of vectors, .npy -> unit rows as the catalog keeps them; and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.changes import STORED
from search.errors import BadImport
from search.files import replacing
from search.index import Vectors
from search.npy import map_array

_ROUNDING = 1e-6
"""How far the length of a unit row in float32 may lie from 1."""


def open_vectors(file: Path, dim: int | None = None) -> NDArray[Any]:
    """(n, dim) of floats, mapped into memory."""
    try:
        vectors = map_array(file)
    except OSError as error:
        raise BadImport(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise BadImport(f"{file} is no whole .npy file of numbers: {error}") from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        what = f"{vectors.dtype} of the shape {vectors.shape}"
        raise BadImport(f"{file} holds {what}; vectors are floats of the shape (n, dim), .npy")
    if dim is not None and vectors.shape[1] != dim:
        raise BadImport(f"{file} has vectors of {vectors.shape[1]} dimensions; the model's have {dim}")
    return vectors


def stored_rows(vectors: NDArray[Any], places: Sequence[int], file: Path) -> Vectors:
    """Rows as the catalog keeps them. float32 of unit length stay bit for bit; other lengths are made 1."""
    some = np.array(vectors[np.array(places, np.intp)])
    exact = some.astype(np.promote_types(some.dtype, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    usable = (np.isfinite(lengths) & (lengths > 0))[:, 0]
    if not usable.all():
        first, bad = places[int(np.argmin(usable))], int((~usable).sum())
        raise BadImport(f"{file}: vector {first} is zero or not finite, with {bad - 1} more up to {places[-1] + 1}")
    lengths[np.abs(lengths - 1) <= _ROUNDING] = 1
    rows: Vectors = (exact / lengths).astype(STORED)
    return rows


@contextmanager
def writing_vectors(file: Path, count: int, dim: int) -> Iterator[Callable[[Iterable[bytes]], None]]:
    """A file of `count` stored vectors, of which each call writes the next."""
    with replacing(file) as aside, aside.open("wb") as stream:
        header = {"descr": STORED.str, "fortran_order": False, "shape": (count, dim)}
        np.lib.format.write_array_header_1_0(stream, header)
        yield stream.writelines
