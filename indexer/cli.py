"""The command line of the indexer: arguments -> one verb -> results on stdout, all else on stderr, an exit code.

Nothing heavy is imported before a verb runs, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from indexer.options import (
    catalog_option,
    collection_option,
    device_option,
    duplicates_options,
    index_options,
    keypoints_option,
    model_option,
    ray_options,
    speed_options,
    templates_option,
    walk_options,
)
from indexer.transfer_options import export_options, import_options
from search.arguments import Parser, positive
from search.exit_codes import ERROR, INTERRUPTED, NO, OK, exit_code, refuse
from search.settings import TAG_THRESHOLD, Settings

VERBS = {
    "build": "make pictures searchable, or bring a collection up to date with folders",
    "update": "build again the folders that the collection remembers",
    "watch": "keep the collection up to date as its folders change",
    "status": "counts, model, index, sizes, last runs and failures",
    "verify": "check every row, vector, index and file",
    "remove": "take files or folders out of the collection; the files stay where they are",
    "duplicates": "show which images are one picture, as copies or edits, and the best of each; nothing is deleted",
    "import": "make a collection of vectors that are there already, without a model",
    "export": "write the vectors and rows of a collection to files",
    "classify": "say which of some labels fits each picture of a folder best",
    "tag": "tag all pictures of a collection with labels, or take the tags away",
    "eval": "measure how well a model does on pictures whose answers are known",
    "bench": "measure builds and queries: rates of the stages, the machine's limit, memory",
    "models": "the models, their licence and quality, and which are on this machine",
}


MEASUREMENTS = {
    "classification": "whether pictures are told by labels: a folder with one folder of pictures for each class",
    "retrieval": "whether captions find their pictures and pictures their captions: recall@k and median rank",
    "graded": "whether pictures come in the order that people graded them in: nDCG@k",
}
"""What `eval` can measure."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    arguments = parser().parse_args(argv)
    try:
        return exit_code(lambda: _run(arguments), advice="; finished work is kept, the same command goes on")
    except MemoryError:
        return refuse("out of memory; finished work is kept. Take a smaller --batch-size or --workers")


def _run(arguments: argparse.Namespace) -> int:
    commands = importlib.import_module("indexer.commands")
    code: int = getattr(commands, arguments.verb.replace("import", "import_"))(arguments)
    return code


def parser() -> argparse.ArgumentParser:
    """Every verb with its options."""
    settings = Settings.from_environment()
    root = Parser(
        prog="python -m indexer",
        description="Makes and keeps collections: pictures that can be searched by text and by picture.",
        epilog=f"Exit codes: {OK} done, {NO} the answer is no, {ERROR} not possible, {INTERRUPTED} interrupted.",
    )
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    by_name = {name: verbs.add_parser(name, help=text, description=_sentence(text)) for name, text in VERBS.items()}
    for name, verb in by_name.items():
        if name not in ("classify", "eval", "duplicates"):
            verb.add_argument("--json", action="store_true", help="the result as one JSON object")
        if name not in ("models", "classify", "eval", "bench"):
            collection_option(verb, settings)
    _build_options(by_name["build"], settings)
    _classify_options(by_name["classify"], settings)
    _tag_options(by_name["tag"], settings)
    _eval_options(by_name["eval"], settings)
    _bench_options(by_name["bench"], settings)
    duplicates_options(by_name["duplicates"])
    import_options(by_name["import"])
    export_options(by_name["export"])
    for name in ("build", "update", "watch", "classify", "bench"):
        speed_options(by_name[name], settings)
    for name in ("build", "update", "watch"):
        by_name[name].add_argument(
            "--long-captions",
            choices=("split", "cut"),
            default="split",
            help="embed captions that do not fit the model in parts, or their beginning only (default: %(default)s)",
        )
        by_name[name].add_argument(
            "--allow-mass-removal",
            action="store_true",
            help="take images out even if most of a folder is gone, as when its disk is missing",
        )
        keypoints_option(by_name[name])
        index_options(by_name[name])
    for name in ("build", "update"):
        ray_options(by_name[name])
    by_name["verify"].add_argument("--repair", action="store_true", help="make again what is derived, then check again")
    by_name["models"].add_argument(
        "--check", metavar="NAME", help="compare with the vectors that are published of this model"
    )
    by_name["models"].add_argument("--model", metavar="M", help="with --check: the weights, if not found under NAME")
    by_name["remove"].add_argument("paths", nargs="+", metavar="PATH", help="a file or a folder with all below it")
    return root


def _sentence(text: str) -> str:
    """With a capital first, and the others left as they are."""
    return text[0].upper() + text[1:]


def _build_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    pictures = verb.add_mutually_exclusive_group(required=True)
    pictures.add_argument(
        "folders",
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="a folder of pictures, with all below it, one in a store such as s3://bucket/photos, or a tar file",
    )
    pictures.add_argument(
        "--files-from", metavar="LIST", help="just the files that this file names, a path or URL a line; - for stdin"
    )
    model_option(verb, settings, first="the collection's own, else ")
    walk_options(verb)
    catalog_option(verb)


def _classify_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument("folder", metavar="FOLDER", help="a folder of pictures, with all below it")
    labels = verb.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", metavar="A,B,...", help="what a picture may show, between commas")
    labels.add_argument("--labels-file", type=Path, metavar="FILE", help="the same, a label a line, or a CSV file")
    templates_option(verb)
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="a table with a column for each label")
    form.add_argument("--json", action="store_true", help="a JSON object a line")
    verb.add_argument(
        "--output", type=Path, metavar="FILE", help="append to this file and leave out the pictures that it holds"
    )
    model_option(verb, settings)
    walk_options(verb)


def _bench_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="pictures (default: some are made)")
    verb.add_argument(
        "--pictures",
        type=positive,
        default=128,
        metavar="N",
        help="make N small JPEGs, N/4 in other formats and N/4 of 12 megapixels (128)",
    )
    verb.add_argument("--rounds", type=positive, default=3, metavar="N", help="medians are of so many (3)")
    verb.add_argument("--against", action="store_true", help="also run open_clip with a DataLoader, in turns")
    model_option(verb, settings)


def _tag_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    labels = verb.add_mutually_exclusive_group(required=True)
    labels.add_argument(
        "--labels-file",
        type=Path,
        metavar="FILE",
        help="a label a line, or a CSV with name, prompts, threshold and sensitive",
    )
    labels.add_argument("--clear", action="store_true", help="take all tags away")
    templates_option(verb)
    verb.add_argument(
        "--threshold",
        type=float,
        default=TAG_THRESHOLD,
        metavar="P",
        help="from which probability on a picture has a label that says nothing else (default: %(default)s)",
    )
    device_option(verb, settings)


def _eval_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    measurements = verb.add_subparsers(dest="what", required=True, metavar="WHAT")
    by_name = {
        name: measurements.add_parser(name, help=text, description=_sentence(text))
        for name, text in MEASUREMENTS.items()
    }
    for measurement in by_name.values():
        measurement.add_argument("--json", action="store_true", help="the result as one JSON object")
        model_option(measurement, settings)
        walk_options(measurement)
        speed_options(measurement, settings)
    classification, retrieval, graded = (by_name[name] for name in ("classification", "retrieval", "graded"))
    classification.add_argument("folder", metavar="FOLDER", help="a folder with one folder of pictures for each class")
    templates_option(classification)
    _gallery_options(retrieval, settings)
    retrieval.add_argument(
        "--captions", type=Path, required=True, metavar="FILE", help="COCO's or Karpathy's JSON, token file or CSV"
    )
    retrieval.add_argument("--split", metavar="NAME", help='of Karpathy\'s JSON, or "all" (default: test)')
    retrieval.add_argument("--plot", type=Path, metavar="FILE.png", help="draw recall against k")
    _gallery_options(graded, settings)
    graded.add_argument(
        "--judgments", type=Path, required=True, metavar="FILE", help="query, image and grade, as CSV or JSON lines"
    )
    graded.add_argument("-k", type=positive, default=10, metavar="N", help="hits that count (default: %(default)s)")


def _gallery_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    pictures = verb.add_mutually_exclusive_group()
    pictures.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="a folder of pictures, with all below it, through --model"
    )
    collection_option(pictures, settings)
