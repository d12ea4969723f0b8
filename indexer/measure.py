"""`bench` and the measurements of `eval`: each takes parsed arguments, speaks, and returns an exit code."""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from pathlib import Path

from tqdm import tqdm

from indexer import say, say_measured
from indexer.asked import classified, encoder_for, options_of, pictures_of
from indexer.caption_files import read_caption_file
from indexer.evaluate import accuracy, truths
from indexer.gallery import gallery_of, match
from indexer.graded import graded as measure_graded
from indexer.graded import read_judgments
from indexer.plot import plot_recall, require_plots
from indexer.retrieval import retrieval as measure_retrieval
from search.errors import BadQuery
from search.exit_codes import OK


def classification(arguments: Namespace) -> int:
    """Classify pictures whose folders are named like what they show."""
    of_paths = truths(os.path.abspath(arguments.folder), pictures_of(arguments))
    labels = sorted(set(of_paths.values()))
    with tqdm(of_paths, unit=" images", disable=None, dynamic_ncols=True) as paths:
        facts = accuracy(classified(paths, labels, arguments), of_paths, labels)
    say.result(facts, say_measured.accuracy(facts), arguments)
    return OK


def retrieval(arguments: Namespace) -> int:
    """Let captions look for their pictures, and pictures for their captions."""
    if arguments.plot:
        require_plots(arguments.plot)
    file = read_caption_file(arguments.captions, arguments.split)
    with gallery_of(arguments) as gallery:
        matched = match(list(file.captions), gallery.paths)
        captions = {path: file.captions[name] for name, path in matched.paths.items()}
        images = gallery.vectors(list(captions))
        if not images.paths:
            raise BadQuery(f"none of the {len(captions):,} pictures with captions can be read")
        measured = measure_retrieval(images, captions, gallery.encoder)
        facts = {
            "format": file.format,
            **measured.to_dict(),
            "missing": matched.missing,
            "unreadable": images.unreadable,
            "without_captions": len(gallery.paths) - len(captions),
            "empty_captions": file.empty,
        }
    if arguments.plot:
        plot_recall(measured, arguments.plot)
    say.result(facts, say_measured.retrieval(facts), arguments)
    return OK


def graded(arguments: Namespace) -> int:
    """Compare the order of the hits with grades that people gave."""
    judgments = read_judgments(arguments.judgments)
    names = list(dict.fromkeys(name for of_query in judgments.values() for name in of_query))
    with gallery_of(arguments) as gallery:
        matched = match(names, gallery.paths)
        grades = {
            query: {matched.paths[name]: grade for name, grade in of_query.items() if name in matched.paths}
            for query, of_query in judgments.items()
        }
        images = gallery.vectors(gallery.paths)
        measured = measure_graded(images, grades, gallery.encoder, arguments.k)
        facts = {
            "model": gallery.encoder.identity.model,
            "pictures": len(images.paths),
            "k": arguments.k,
            **measured.to_dict(),
            "missing": matched.missing,
            "unreadable": images.unreadable,
        }
    say.result(facts, say_measured.graded(facts), arguments)
    return OK


def bench(arguments: Namespace) -> int:
    """Measure with the pictures of a folder or made ones; nothing is kept."""
    from indexer.bench import Bench  # torch
    from indexer.bench_pictures import make_sets

    encoder = encoder_for(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folders = (
            {"folder": arguments.folder.absolute()}
            if arguments.folder
            else make_sets(Path(scratch), arguments.pictures)
        )
        measuring = Bench(folders, Path(scratch), lambda: encoder, options_of(arguments))
        facts = measuring.run(arguments.rounds, against=arguments.against)
    say.result(facts, say.bench(facts), arguments)
    return OK
