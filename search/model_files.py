"""A model's name -> its files on this machine, by the name alone; no torch here."""

from __future__ import annotations

from pathlib import Path

from search.files import file_digest
from search.models import BUNDLED, HUB_PREFIX, MODELS, Hub

INDEX = ".index.json"
"""How the name of a file ends that lists the shards of the weights, which lie beside it."""

SUMS_FILE = "SHA256SUMS"
"""What comes with the bundled model and says what its files are."""


def named_path(name: str, *, models: Path | None = None) -> Path | None:
    """The folder in `models`, the directory or the file that goes by this name, if there is one."""
    if name.startswith(HUB_PREFIX):
        return None
    if models and name == Path(name).name and (models / name).is_dir():
        return models / name
    return Path(name) if Path(name).exists() else None


def files_of_name(name: str, *, models: Path | None, hub: Hub, bundled: Path) -> list[Path]:
    """The files that may decide what a name means (see `find_checkpoint`), as far as they are on this machine.

    Of a directory or repository these are all files, whichever are read. Of the registry's names only those in the
    table of models are known without open_clip.
    """
    place = _place(name, models, hub, bundled)
    if place and place.name.endswith(INDEX):
        place = place.parent
    if place is None or not place.exists():
        return []
    return sorted(file for file in place.iterdir() if file.is_file()) if place.is_dir() else [place]


def _place(name: str, models: Path | None, hub: Hub, bundled: Path) -> Path | None:
    if name == BUNDLED:
        return bundled
    if path := named_path(name, models=models):
        return path
    if name.startswith(HUB_PREFIX):
        return hub.snapshot(name.removeprefix(HUB_PREFIX))
    if "@" in name:
        return Path(name.partition("@")[2])
    repo = next((info.repo for info in MODELS if info.name == name), None)
    return hub.snapshot(repo) if repo else None


def damage_of(folder: Path) -> str | None:
    """What is wrong with the bundled model in `folder`, by the list of digests that comes with it."""
    try:
        for line in (folder / SUMS_FILE).read_text(encoding="ascii").splitlines():
            known, name = line.split()
            if file_digest(folder / name) != known:
                return f"{folder / name} is damaged"
    except (OSError, ValueError) as error:
        return f"{folder} is damaged ({error})"
    return None
