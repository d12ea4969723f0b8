"""The folders that are asked for, the folders that a collection follows -> what to walk and what to remember."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

from indexer.rules import ALL, Rules, is_listed
from search.paths import is_folder
from search.tars import is_tar
from search.types import Root


def merge(followed: Sequence[Root], asked: Sequence[Root]) -> tuple[list[Root], list[Root]]:
    """Return the roots to walk now and the roots to follow from now on; neither holds a folder that the walk of another
    comes to. A tar file is followed beside the folder that it lies in, one of which only named files are taken beside
    those within it, and what the rules of a followed folder leave out beside that.

    A folder asked for again keeps its exclusions and gets the new ones. A folder within a followed one is walked alone,
    by the rules of both; asking for a folder that was removed takes it in again. One of which only named files were
    taken is taken whole.
    """
    walk: list[Root] = []
    follow = list(followed)
    for root in sorted(asked, key=lambda root: root.path):
        follow = [_readmit(other, root.path) if _within(root.path, other.path) else other for other in follow]
        if outer := next((other for other in follow if _comes_to(other, root)), None):
            root = _joined(outer, root)
        if outer is None or root.path == outer.path:
            follow = [other for other in follow if not _comes_to(root, other)] + [root]
        if not any(_comes_to(other, root) for other in walk):
            walk.append(root)
    return walk, sorted(follow, key=lambda root: root.path)


def merge_files(followed: Sequence[Root], files: Iterable[str]) -> tuple[list[Root], list[Root]]:
    """The same for files that are named: where no followed folder holds the folder of one, that is followed for such
    files alone, if it is there.
    """
    named = [Root(folder, (ALL,)) for folder in sorted(by_folder(files)) if is_folder(folder)]
    walk = list(dict.fromkeys(next((root for root in reversed(followed) if _holds(root, one)), one) for one in named))
    return walk, sorted({*followed, *walk}, key=lambda root: root.path)


def by_folder(files: Iterable[str]) -> dict[str, set[str]]:
    """The files right in each folder that has any."""
    found = defaultdict[str, set[str]](set)
    for file in files:
        found[os.path.dirname(file)].add(file)
    return found


def apart(root: Root, followed: Iterable[Root]) -> tuple[str, ...]:
    """How the paths begin of what lies in the root and only the walks of other followed ones come to."""
    inner = (other.path for other in followed if other.path != root.path and _within(other.path, root.path))
    rules = Rules(root)
    return tuple(f"{path}/" for path in inner if not rules.lead_to(rules.below(path)))


def exclusion(root: Root, path: str) -> str:
    """The glob that leaves out just `path`, which lies in `root`."""
    return glob.escape(path[len(root.path) :].lstrip("/"))


def drop(followed: Sequence[Root], path: str) -> list[Root]:
    """The roots to follow when `path` is to be left alone: those at or under it go, the one around it excludes it."""
    kept = [root for root in followed if not _within(root.path, path)]
    return [
        dataclasses.replace(root, exclude=(*root.exclude, exclusion(root, path))) if _within(path, root.path) else root
        for root in kept
    ]


def _holds(outer: Root, root: Root) -> bool:
    """Whether `outer` takes folders like `root`, rules aside: no tar file, and nothing where files are named."""
    enters = _within(root.path, outer.path) and not is_listed(outer) and not is_tar(root.path)
    return enters or root.path == outer.path


def _comes_to(outer: Root, root: Root) -> bool:
    """Whether the walk of `outer` comes to the folder of `root`."""
    rules = Rules(outer)
    return root.path == outer.path or (_holds(outer, root) and rules.lead_to(rules.below(root.path)))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _readmit(outer: Root, path: str) -> Root:
    return dataclasses.replace(outer, exclude=tuple(rule for rule in outer.exclude if rule != exclusion(outer, path)))


def _joined(outer: Root, root: Root) -> Root:
    exclude = tuple(dict.fromkeys([*(rule for rule in outer.exclude if rule != ALL), *root.exclude]))
    return Root(root.path, exclude, outer.include_hidden or root.include_hidden)
