"""A folder, here or in a store, or a tar file -> the pictures in it, and the places that could not be read."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from indexer.captions import sidecars_of
from indexer.rules import Rules, is_listed
from search.catalog_place import CATALOG_FILE, CATALOG_URL_FILE, THUMBNAILS
from search.changes import FileStamp
from search.image import SUFFIXES
from search.paths import AnyEntry, entries
from search.stores import is_url
from search.tars import SUFFIX as TAR_SUFFIX
from search.tars import is_tar, list_tar
from search.types import Root


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A picture file as the walk saw it, and the names of the caption files beside it."""

    stamp: FileStamp
    sidecars: tuple[str, ...] = ()


@dataclass(slots=True)
class Scan:
    """What a walk found: the files in its order, path and reason of what could not be read, and the tar files that lie
    in the folder, which are no part of it.
    """

    files: list[FoundFile] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    tars: list[str] = field(default_factory=list)


def scan(root: Root, only: AbstractSet[str] | None = None) -> Scan:
    """Walk the folder `root.path`, with one `stat` a file, or list the tar file there.

    Links are followed, each folder is entered once. Hidden and system folders are skipped unless the root includes
    them, and so are the thumbnails of collections. A path in `unreadable` may hold files that the walk did not see.

    With paths in `only`, no others are taken, and only folders that lead to them are entered. In a folder of which
    nothing is taken but what was named, no other rule holds for these.
    """
    found = Scan()
    if only is not None and is_listed(root):
        root = Root(root.path, include_hidden=True)
    walk = _Walk(root, found, only)
    if is_tar(root.path):
        walk.list_members()
    else:
        walk.run()
    return found


class _Walk:
    def __init__(self, root: Root, found: Scan, only: AbstractSet[str] | None) -> None:
        self._root = root
        self._found = found
        self._only = only
        self._leading = {folder for path in only or () for folder in _folders_of(path)}
        self._entered: set[tuple[int, int]] = set()
        self._rules = Rules(root)

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

    def list_members(self) -> None:
        """Take the pictures of the tar file. It is written as one, so all of it is as old as itself."""
        tar = self._root.path
        try:
            listing = list_tar(tar)
        except OSError as error:
            self._found.unreadable[tar] = error.strerror or str(error)
            return
        if listing.problem:
            self._found.unreadable[tar] = listing.problem
        beside = defaultdict(set)
        for path in listing.members:
            folder, _, name = path.rpartition("/")
            beside[folder].add(name)
        for path, member in listing.members.items():
            folder, _, name = path.rpartition("/")
            if _is_picture(name) and self._may_take(f"{tar}/{path}") and self._rules.lead_to(path):
                sidecars = sidecars_of(name, beside[folder])
                captions_stamp = len(sidecars) * listing.mtime_ns % 2**63
                stamp = FileStamp(f"{tar}/{path}", member.size_bytes, listing.mtime_ns, captions_stamp)
                self._found.files.append(FoundFile(stamp, sidecars))

    def _visit(self, folder: str) -> list[str]:
        """Take the pictures of `folder` and return the folders in it."""
        listing = sorted(entries(folder), key=lambda entry: entry.name)
        beside = {entry.name: entry for entry in listing}
        if not beside.keys().isdisjoint((CATALOG_FILE, CATALOG_URL_FILE)):
            listing = [entry for entry in listing if entry.name != THUMBNAILS]
        rules = self._rules
        wanted = [entry for entry in listing if rules.take(entry.name, rules.below(entry.path))]
        self._found.tars += [entry.path for entry in listing if entry.name.lower().endswith(TAR_SUFFIX)]
        for entry in wanted:
            if _is_picture(entry.name) and self._may_take(entry.path) and not self._is_folder(entry):
                self._take(entry, {name: beside[name] for name in sidecars_of(entry.name, beside.keys())})
        return [entry.path for entry in wanted if self._leads(entry.path) and self._is_folder(entry)]

    def _is_folder(self, entry: AnyEntry) -> bool:
        """False of a link that cannot be followed, which costs nothing beside it."""
        try:
            return entry.is_dir()
        except OSError as error:
            self._found.unreadable[entry.path] = error.strerror or str(error)
            return False

    def _enter(self, folder: str) -> bool:
        """Whether `folder` is new to this walk: links may lead to it again."""
        if is_url(folder):
            return True
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity in self._entered:
            return False
        self._entered.add(identity)
        return True

    def _leads(self, folder: str) -> bool:
        return self._only is None or folder in self._leading

    def _may_take(self, path: str) -> bool:
        return self._only is None or path in self._only

    def _take(self, entry: AnyEntry, sidecars: Mapping[str, AnyEntry]) -> None:
        try:
            status = entry.stat()
        except FileNotFoundError:
            return  # gone since the folder was listed, or a link to nowhere
        except OSError as error:
            self._found.unreadable[entry.path] = error.strerror or str(error)
            return
        stamps = {name: one for name, sidecar in sidecars.items() if (one := _stamp_of(sidecar)) is not None}
        stamp = FileStamp(entry.path, status.st_size, status.st_mtime_ns, sum(stamps.values()) % 2**63)
        self._found.files.append(FoundFile(stamp, tuple(stamps)))


def _stamp_of(sidecar: AnyEntry) -> int | None:
    """When it was written and its size, in one number that is not 0; None of a link to nowhere and of what is gone.

    0 where it cannot be told, as of a picture without captions: reading will tell why.
    """
    try:
        status = sidecar.stat()
        return (status.st_mtime_ns + status.st_size) or 1
    except FileNotFoundError:
        return None
    except OSError:
        return 0


def _folders_of(path: str) -> Iterator[str]:
    """The folders around the path, innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
