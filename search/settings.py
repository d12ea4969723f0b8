"""Where things are and how far they may go: the only reader of the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BUNDLED_MODEL = PROJECT / "data" / "model"
SAMPLE = PROJECT / "data" / "sample"

MAX_MEGAPIXELS = 128
"""Default pixel limit of one picture; the command line's --max-megapixels changes it."""

MAX_PIXELS = MAX_MEGAPIXELS * 1_000_000

DEVICE = re.compile(r"auto|cpu|cuda(?::(\d+))?")
"""The name of what computes, with the number of the GPU."""

DEVICES = "auto, cpu, cuda or cuda:N"

KEYPOINTS = 64
"""Local features kept of an image, 70 bytes each; by them an edited copy is told from a look-alike."""

MAX_KEYPOINTS = 1000

TAG_THRESHOLD = 0.2
"""From which probability on an image has a label as a tag, unless the label says otherwise."""

MAX_K = 1000
"""Most neighbours that one query may ask for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults that the environment may change; command line options win over both."""

    collection: Path
    model: str
    device: str
    runtime: str
    models: Path
    cache: Path
    threads: int
    token: str | None = field(repr=False)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read IMAGE_SEARCH_COLLECTION, _MODEL, _DEVICE, _RUNTIME, _MODELS, _CACHE and _TOKEN, and OMP_NUM_THREADS.

        `models` is the folder in which a model given by a bare name is looked for before any hub is asked; `cache`
        keeps what is made once of a model; `threads` is how many one computation takes.
        """
        environ = {name: said for name, said in os.environ.items() if said}  # what is empty says nothing
        data = PROJECT / "data"
        return cls(
            collection=directory(environ.get("IMAGE_SEARCH_COLLECTION", data / "collections" / "default")),
            model=environ.get("IMAGE_SEARCH_MODEL", "auto"),
            device=environ.get("IMAGE_SEARCH_DEVICE", "auto"),
            runtime=environ.get("IMAGE_SEARCH_RUNTIME", "auto"),
            models=directory(environ.get("IMAGE_SEARCH_MODELS", data / "models")),
            cache=directory(environ.get("IMAGE_SEARCH_CACHE", data / "cache")),
            threads=_threads(environ.get("OMP_NUM_THREADS", "")),
            token=environ.get("IMAGE_SEARCH_TOKEN"),
        )


def directory(said: str | Path) -> Path:
    """A path. "~" at its beginning is the user's home, which shells leave as it is in `--collection=~/x`."""
    return Path(os.path.expanduser(said))  # noqa: PTH111 (Path's raises for ~ and a name that nobody has)


def _threads(said: str) -> int:
    """What OpenMP is told, as PyTorch and FAISS are with it; else one for each core that this process may use."""
    return int(said) if said.isdecimal() and int(said) else len(os.sched_getaffinity(0))
