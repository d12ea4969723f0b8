"""The verb duplicates: a collection -> its groups of copies, told and kept for the page. No picture is deleted."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from indexer import say
from indexer.signals import stop_on_signals
from search.bulk import ImageFile
from search.collection import Collection
from search.duplicates import Group, find_duplicates
from search.errors import CollectionError
from search.exit_codes import INTERRUPTED, NO, OK
from search.found_duplicates import FoundDuplicates
from search.terminal import harmless, write_out

_COLUMNS = ("id", "path", "width", "height", "format", "size_bytes")


def duplicates(arguments: Namespace) -> int:
    """Say which images are one picture; NO where there are none."""
    with closing(Collection.open(arguments.collection)) as collection, stop_on_signals() as stop:
        generation = collection.catalog.state().generation
        groups = find_duplicates(collection, arguments.kind, stop=stop)
        if not stop.is_set():
            _keep(FoundDuplicates.now(arguments.kind, generation, groups), collection.directory)
        images = collection.catalog.counts()["images"]
        without = images - collection.catalog.features.totals().images
    if without and arguments.kind != "identical":
        say.note(f"{without:,} images have no local features, so edits of them are not seen: python -m indexer update")
    write_out(_told(groups, arguments))
    copies = sum(len(group.images) - 1 for group in groups)
    say.note(f"groups: {len(groups):,}; images beside the best of each: {copies:,}, of {images:,} in all")
    if stop.is_set():
        say.note("interrupted: there may be more")
        return INTERRUPTED
    return OK if groups else NO


def _keep(found: FoundDuplicates, directory: Path) -> None:
    """For the page that shows them. What was found is told all the same where it cannot be kept."""
    try:
        found.keep(directory)
    except (OSError, CollectionError) as error:
        say.note(f"not kept for the page of duplicates: {error}")


def _told(groups: Sequence[Group], arguments: Namespace) -> str:
    if arguments.json:
        rows = [{"kind": group.kind, "images": [_row(file) for file in group.images]} for group in groups]
        return json.dumps({"groups": rows}, indent=2) + "\n"
    if arguments.csv:
        return _table(groups)
    if arguments.paths:
        return "".join(f"{file.path}\n" for group in groups for file in group.images[1:])
    return "".join(_paragraph(group) for group in groups)


def _row(file: ImageFile) -> dict[str, Any]:
    return {name: getattr(file, name) for name in _COLUMNS}


def _table(groups: Sequence[Group]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("group", "kind", "best", *_COLUMNS))
    for number, group in enumerate(groups, 1):
        for file in group.images:
            rows.writerow((number, group.kind, int(file is group.images[0]), *_row(file).values()))
    return out.getvalue()


def _paragraph(group: Group) -> str:
    best, *others = group.images
    lines = [f"{group.kind}, {len(group.images)} images", f"  best  {_line(best)}"]
    return "\n".join([*lines, *(f"        {_line(file)}" for file in others)]) + "\n"


def _line(file: ImageFile) -> str:
    return f"id:{file.id:<7} {file.width} x {file.height} {file.format:5} {harmless(file.path)}"
