"""A folder that is followed -> what its walk takes of the names in it."""

from __future__ import annotations

import fnmatch
import re
from itertools import accumulate

from search.types import Root

ALL = "*"
"""The rule of a folder of which only files are taken that were named."""

SYSTEM_FOLDERS = frozenset(
    {"$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "#recycle", "#snapshot", "__MACOSX"}
)


def is_listed(root: Root) -> bool:
    """Whether only files that were named are taken of the folder."""
    return ALL in root.exclude


class Rules:
    """Those of one root. What is below it is asked for by its path from there on."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._exclude = re.compile("|".join(map(fnmatch.translate, root.exclude))) if root.exclude else None

    def below(self, path: str) -> str:
        return path[len(self._root.path) :].lstrip("/")

    def take(self, name: str, below: str) -> bool:
        """Whether a file or folder of this name is taken, where its folder is."""
        if not self._root.include_hidden and (name.startswith(".") or name in SYSTEM_FOLDERS):
            return False
        return not (self._exclude and (self._exclude.match(name) or self._exclude.match(below)))

    def lead_to(self, below: str) -> bool:
        """Whether a file or folder is taken, and every folder around it."""
        names = below.split("/")
        return all(map(self.take, names, accumulate(names, "{}/{}".format)))
