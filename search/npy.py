"""A .npy file -> its array, mapped into memory; what NumPy raises on broken bytes is one error."""

from __future__ import annotations

import struct
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BROKEN = (
    ArithmeticError,  # a shape beyond a C integer
    EOFError,
    LookupError,
    MemoryError,  # a header nested too deep for Python's parser
    RuntimeError,  # RecursionError; NotImplementedError of zipfile
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
"""What np.load raises on a damaged file or archive beside OSError; most comes from the header, a Python literal."""


def map_array(file: Path) -> NDArray[Any]:
    """The array, read-only. Raises OSError for a file that cannot be read and ValueError for one that has no array."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise ValueError("it holds several arrays, .npz")
    return found
