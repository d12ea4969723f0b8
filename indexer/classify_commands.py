"""The verb classify: pictures and labels -> probabilities as words, CSV or JSON, gone on with where they ended."""

from __future__ import annotations

import threading
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import takewhile
from pathlib import Path
from typing import IO

from tqdm import tqdm

from indexer import say
from indexer.asked import classified, pictures_of
from indexer.labels import labels_in
from indexer.signals import stop_on_signals
from indexer.table import Form, Table
from search.errors import BadQuery
from search.exit_codes import INTERRUPTED, NO, OK
from search.prompts import Label
from search.terminal import stdout


def classify(arguments: Namespace) -> int:
    """A row for each picture as it comes, on stdout or at the end of a file that says what is done already."""
    form: Form = "csv" if arguments.csv else "json" if arguments.json else "words"
    if arguments.output and form == "words":
        raise BadQuery("--output takes --csv or --json, so that the file can be gone on with")
    labels = labels_in(arguments.labels, arguments.labels_file)
    table = Table([label.name for label in labels], form)
    held = table.paths_in(arguments.output) if arguments.output else set()
    found = pictures_of(arguments)
    paths = [path for path in found if path not in held]
    with stop_on_signals() as stop:
        done, failed = _classify(paths, labels, table, arguments, stop) if paths else (0, 0)
    before = len(found) - len(paths)
    say.note(f"{done - failed:,} classified, {failed:,} could not be read, {before:,} done before")
    if done < len(paths):
        return INTERRUPTED
    return OK if found else NO


def _classify(
    paths: Sequence[str], labels: Sequence[Label], table: Table, arguments: Namespace, stop: threading.Event
) -> tuple[int, int]:
    """How many rows were written, and how many of these tell of a file that could not be read."""
    until_stop = takewhile(lambda _: not stop.is_set(), paths)
    done = failed = 0
    with _results(arguments.output) as out, tqdm(total=len(paths), unit=" images", disable=None) as bar:
        if not arguments.output or not arguments.output.stat().st_size:
            out.write(table.heading)
        for item in classified(until_stop, labels, arguments):
            out.write(table.line(item))
            out.flush()
            bar.update()
            done, failed = done + 1, failed + (item.reason is not None)
    return done, failed


def _results(output: Path | None) -> AbstractContextManager[IO[bytes]]:
    return output.open("ab") if output else nullcontext(stdout())
