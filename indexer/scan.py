"""A folder -> the picture files in it, each with one `stat`, and the places that could not be read."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from indexer.captions import sidecars_of
from search.catalog_place import CATALOG_FILE, CATALOG_URL_FILE
from search.changes import FileStamp
from search.image import SUFFIXES
from search.types import Root

SYSTEM_FOLDERS = frozenset(
    {"$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "#recycle", "#snapshot", "__MACOSX"}
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A picture file as the walk saw it, and the names of the caption files beside it."""

    stamp: FileStamp
    sidecars: tuple[str, ...] = ()


@dataclass(slots=True)
class Scan:
    """What a walk found: the files in the order of the walk, and path and reason of what could not be read."""

    files: list[FoundFile] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def scan(root: Root) -> Scan:
    """Walk the folder `root.path`.

    Links are followed, each folder is entered once. Hidden and system folders are skipped unless the root includes
    them, and so are other collections. A path in `unreadable` may hold files that the walk did not see.
    """
    found = Scan()
    _Walk(root, found).run()
    return found


class _Walk:
    def __init__(self, root: Root, found: Scan) -> None:
        self._root = root
        self._found = found
        self._entered: set[tuple[int, int]] = set()
        self._exclude = _matcher(root.exclude)

    def run(self) -> None:
        """Visit every folder, parents first, names in order."""
        waiting = [self._root.path]
        while waiting:
            folder = waiting.pop()
            try:
                if self._enter(folder):
                    waiting += reversed(self._visit(folder))
            except OSError as error:
                self._found.unreadable[folder] = error.strerror or str(error)

    def _visit(self, folder: str) -> list[str]:
        """Take the pictures of `folder` and return the folders in it."""
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        if any(entry.name in (CATALOG_FILE, CATALOG_URL_FILE) for entry in entries):
            return []
        wanted = [entry for entry in entries if self._wanted(entry)]
        beside = {entry.name for entry in entries}
        stamps: dict[str, int] = {}
        for entry in wanted:
            if os.path.splitext(entry.name)[1].lower() in SUFFIXES and not entry.is_dir():
                self._take(entry, sidecars_of(entry.name, beside), stamps)
        return [entry.path for entry in wanted if entry.is_dir()]

    def _enter(self, folder: str) -> bool:
        """Whether `folder` is new to this walk: links may lead to it again."""
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity in self._entered:
            return False
        self._entered.add(identity)
        return True

    def _wanted(self, entry: os.DirEntry[str]) -> bool:
        if not self._root.include_hidden and (entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS):
            return False
        below_root = entry.path[len(self._root.path) :].lstrip("/")
        return not (self._exclude and (self._exclude.match(entry.name) or self._exclude.match(below_root)))

    def _take(self, entry: os.DirEntry[str], sidecars: tuple[str, ...], stamps: dict[str, int]) -> None:
        try:
            status = entry.stat()
            captions_stamp = sum(_mtime_ns(entry, sidecar, stamps) for sidecar in sidecars) % 2**63
        except FileNotFoundError:
            return  # gone since the folder was listed, or a link to nowhere
        except OSError as error:
            self._found.unreadable[entry.path] = error.strerror or str(error)
            return
        stamp = FileStamp(entry.path, status.st_size, status.st_mtime_ns, captions_stamp)
        self._found.files.append(FoundFile(stamp, sidecars))


def _mtime_ns(entry: os.DirEntry[str], sidecar: str, stamps: dict[str, int]) -> int:
    """The mtime_ns of a caption file beside `entry`; one that speaks of many pictures is asked for once."""
    if sidecar not in stamps:
        stamps[sidecar] = os.stat(os.path.join(os.path.dirname(entry.path), sidecar)).st_mtime_ns
    return stamps[sidecar]


def _matcher(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs)) if globs else None
