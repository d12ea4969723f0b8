"""The measurements of `eval`: each takes parsed arguments, speaks, and returns an exit code."""

from __future__ import annotations

import os
from argparse import Namespace

from tqdm import tqdm

from indexer import say
from indexer.asked import classified, pictures_of
from indexer.evaluate import accuracy, truths
from search.exit_codes import OK


def classification(arguments: Namespace) -> int:
    """Classify pictures whose folders are named like what they show."""
    of_paths = truths(os.path.abspath(arguments.folder), pictures_of(arguments))
    labels = sorted(set(of_paths.values()))
    with tqdm(of_paths, unit=" images", disable=None, dynamic_ncols=True) as paths:
        facts = accuracy(classified(paths, labels, arguments), of_paths, labels)
    say.result(facts, say.accuracy(facts), arguments)
    return OK
