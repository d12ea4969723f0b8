"""The folders that are asked for, the folders that a collection follows -> what to walk and what to remember."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from indexer.rules import ALL, Rules, is_listed
from search.paths import is_folder
from search.tars import SUFFIX
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
        follow = [_readmit(other, {root.path}) for other in follow]
        if outer := next((other for other in follow if _comes_to(other, root)), None):
            if root.path != outer.path:
                follow = [_with_rules_below(other, root) if other is outer else other for other in follow]
            root = _joined(outer, root)
        if outer is None or root.path == outer.path:
            follow = [other for other in follow if not _comes_to(root, other)] + [root]
        if not any(_comes_to(other, root) for other in walk):
            walk.append(root)
    return walk, sorted(follow, key=lambda root: root.path)


def merge_files(followed: Sequence[Root], files: Iterable[str]) -> tuple[list[Root], list[Root]]:
    """The same for files that are named: where no followed folder holds the folder of one, that is followed for such
    files alone, if it is there. A file that was removed is taken in again.
    """
    paths = frozenset(files)
    follow = [_readmit(root, paths) for root in followed]
    named = [Root(folder, (ALL,)) for folder in sorted(by_folder(paths)) if is_folder(folder)]
    walk = list(dict.fromkeys(next((root for root in reversed(follow) if _holds(root, one)), one) for one in named))
    return walk, sorted({*follow, *walk}, key=lambda root: root.path)


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
    return tuple(f"{path}/" for path in inner if _is_or_was_tar(path) or not rules.lead_to(rules.below(path)))


def exclusion(root: Root, path: str) -> str:
    """The glob that leaves out just `path`, which lies in `root`."""
    return glob.escape(path[len(root.path) :].lstrip("/"))


def drop(followed: Sequence[Root], path: str) -> list[Root]:
    """The roots to follow when `path` is to be left alone: those at or under it go, the one around it excludes it."""
    return [_without(root, path) for root in followed if not _within(root.path, path)]


def _without(root: Root, path: str) -> Root:
    if not _within(path, root.path) or (rule := exclusion(root, path)) in root.exclude:
        return root
    return dataclasses.replace(root, exclude=(*root.exclude, rule))


def _holds(outer: Root, root: Root) -> bool:
    """Whether `outer` takes folders like `root`, rules aside: no tar file, and nothing where files are named."""
    enters = _within(root.path, outer.path) and not is_listed(outer) and not _is_or_was_tar(root.path)
    return enters or root.path == outer.path


def _comes_to(outer: Root, root: Root) -> bool:
    """Whether the walk of `outer` comes to the folder of `root`."""
    rules = Rules(outer)
    return root.path == outer.path or (_holds(outer, root) and rules.lead_to(rules.below(root.path)))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_or_was_tar(path: str) -> bool:
    """By its name, where no folder has that: what is known of a tar file stays when it is gone."""
    return path.lower().endswith(SUFFIX) and not is_folder(path)


def _readmit(outer: Root, paths: AbstractSet[str]) -> Root:
    """Without the rules that leave out just these paths."""
    rules = {exclusion(outer, path) for path in paths if _within(path, outer.path)} if outer.exclude else set()
    return dataclasses.replace(outer, exclude=tuple(rule for rule in outer.exclude if rule not in rules))


def _with_rules_below(outer: Root, root: Root) -> Root:
    """The outer one with the rules of one within it, for what lies there: names at any depth, and paths."""
    below = exclusion(outer, root.path)
    new = [f"{below}/{rule}" for rule in root.exclude] + [f"{below}/*/{rule}" for rule in root.exclude]
    return dataclasses.replace(outer, exclude=tuple(dict.fromkeys([*outer.exclude, *new])))


def _joined(outer: Root, root: Root) -> Root:
    """The root with the rules of the outer one too, of which paths go on from this root."""
    below = f"{exclusion(outer, root.path)}/"
    of_outer = [rule.removeprefix(below) for rule in outer.exclude if rule != ALL]
    exclude = tuple(dict.fromkeys([*of_outer, *root.exclude]))
    return Root(root.path, exclude, outer.include_hidden or root.include_hidden)
