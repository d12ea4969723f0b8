"""Files as they are, rows as they were -> what there is to do."""

from __future__ import annotations

from collections.abc import Container, Mapping, Set
from dataclasses import dataclass, field

from indexer.scan import FoundFile, Scan
from search.changes import FileStamp
from search.records import KnownFailure, KnownFile
from search.tars import may_be_tars

MASS = 20
"""So many files that are gone, and more than half of a folder, may be a disk that is missing."""


@dataclass(frozen=True, slots=True)
class Work:
    """A file to read: new (`row` is None), or changed since the row with that id was written.

    The decoder of a `suspect` may crash: it runs apart.
    """

    found: FoundFile
    row: int | None = None
    suspect: bool = False


@dataclass(slots=True)
class Plan:
    """What there is to do at or under `root`, of which `known` images are in the catalog.

    `to_read` holds the new files before the changed ones, so that a chain of renames finds its vectors.

    `to_recaption` are rows whose picture is the same and whose caption files changed. `gone` are rows whose file the
    walk did not see, `gone_failures` likewise; neither holds what lies under a place that could not be read, or in a
    tar file, unless that is `root`.
    """

    root: str
    known: int
    unchanged: int = 0
    to_read: list[Work] = field(default_factory=list)
    to_recaption: list[Work] = field(default_factory=list)
    gone: dict[int, str] = field(default_factory=dict)
    gone_failures: list[str] = field(default_factory=list)

    def mass_removal(self, removed: int) -> str | None:
        """Why `removed` images had better stay unless it is said that they may go; None for an ordinary number."""
        nothing_left = removed == self.known and not (self.to_read or self.unchanged)
        if not removed or not (nothing_left or (removed >= MASS and 2 * removed > self.known)):
            return None
        return (
            f"{removed:,} of its {self.known:,} images are gone; they are kept in case a disk is missing. "
            "If they are to go, run the same command with --allow-mass-removal"
        )


def make_plan(
    root: str,
    scan: Scan,
    known: Mapping[str, KnownFile],
    failures: Mapping[str, KnownFailure],
    *,
    max_pixels: int,
    suspects: Container[str] = (),
) -> Plan:
    """Compare a walk with the catalog's rows of the same folder, by path, size and mtime.

    A file that failed is read again when it changed or was refused under a smaller pixel limit. Suspect are the paths
    in `suspects`, and files that took a decoder down before they changed.
    """
    plan = Plan(root, len(known))
    changed = []
    for found in scan.files:
        stamp = found.stamp
        row, failure = known.get(stamp.path), failures.get(stamp.path)
        suspect = stamp.path in suspects or (failure is not None and failure.by_decoder)
        if row is None:
            if failure and _failed_before(stamp, failure, max_pixels):
                plan.unchanged += 1
            else:
                plan.to_read.append(Work(found, suspect=suspect))
        elif (stamp.size_bytes, stamp.mtime_ns) != (row.size_bytes, row.mtime_ns):
            changed.append(Work(found, row.id, suspect))
        elif stamp.captions_stamp != row.captions_stamp:
            plan.to_recaption.append(Work(found, row.id))
        else:
            plan.unchanged += 1
    plan.to_read += changed
    seen = {found.stamp.path for found in scan.files}
    tars = frozenset(scan.tars)
    plan.gone = {row.id: path for path, row in known.items() if path not in seen and not _hidden(path, scan, tars)}
    plan.gone_failures = [path for path in failures if path not in seen and not _hidden(path, scan, tars)]
    return plan


def _failed_before(stamp: FileStamp, failure: KnownFailure, max_pixels: int) -> bool:
    same = (failure.size_bytes, failure.mtime_ns) == (stamp.size_bytes, stamp.mtime_ns)
    return same and max_pixels <= failure.max_pixels


def _hidden(path: str, scan: Scan, tars: Set[str]) -> bool:
    """Whether the walk could not have seen `path`."""
    if not tars.isdisjoint(may_be_tars(path)):
        return True
    return any(path == place or path.startswith(f"{place}/") for place in scan.unreadable)
