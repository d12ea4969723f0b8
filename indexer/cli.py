"""The command line of the indexer: arguments -> one verb -> results on stdout, all else on stderr, an exit code.

Nothing heavy is imported before a verb runs, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from search.errors import SearchError
from search.exit_codes import ERROR, INTERRUPTED, NO, OK
from search.prompts import PLACE, PLAIN, TEMPLATE_SETS
from search.settings import MAX_MEGAPIXELS, Settings
from search.types import INDEX_KINDS, MIN_RECALL

VERBS = {
    "build": "make pictures searchable, or bring a collection up to date with folders",
    "update": "build again the folders that the collection remembers",
    "watch": "keep the collection up to date as its folders change",
    "status": "counts, model, index, sizes, last runs and failures",
    "verify": "check every row, vector, index and file",
    "remove": "take files or folders out of the collection; the files stay where they are",
    "classify": "say which of some labels fits each picture of a folder best",
    "eval": "measure how well a model does on pictures whose answers are known",
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
    commands = importlib.import_module("indexer.commands")
    try:
        code: int = getattr(commands, arguments.verb)(arguments)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who read the rows has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    """Every verb with its options."""
    settings = Settings.from_environment()
    root = argparse.ArgumentParser(
        prog="python -m indexer",
        description="Makes and keeps collections: pictures that can be searched by text and by picture.",
        epilog=f"Exit codes: {OK} done, {NO} the answer is no, {ERROR} not possible, {INTERRUPTED} interrupted.",
    )
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    by_name = {name: verbs.add_parser(name, help=text, description=text.capitalize()) for name, text in VERBS.items()}
    for name, verb in by_name.items():
        if name not in ("classify", "eval"):
            verb.add_argument("--json", action="store_true", help="the result as one JSON object")
        if name not in ("models", "classify", "eval"):
            _collection_option(verb, settings)
    _build_options(by_name["build"], settings)
    _classify_options(by_name["classify"], settings)
    _eval_options(by_name["eval"], settings)
    for name in ("build", "update", "watch", "classify"):
        _speed_options(by_name[name], settings)
    for name in ("build", "update", "watch"):
        by_name[name].add_argument(
            "--long-captions",
            choices=("split", "cut"),
            default="split",
            help="embed captions that do not fit the model in parts, or their beginning only (default: %(default)s)",
        )
        _index_options(by_name[name])
    by_name["verify"].add_argument("--repair", action="store_true", help="make again what is derived, then check again")
    by_name["models"].add_argument(
        "--check", metavar="NAME", help="compare with the vectors that are published of this model"
    )
    by_name["models"].add_argument("--model", metavar="M", help="with --check: the weights, if not found under NAME")
    by_name["remove"].add_argument("paths", nargs="+", metavar="PATH", help="a file or a folder with all below it")
    return root


def _collection_option(verb: argparse._ActionsContainer, settings: Settings) -> None:
    verb.add_argument(
        "--collection",
        type=Path,
        default=settings.collection,
        metavar="DIR",
        help="where the collection is (default: %(default)s)",
    )


def _build_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument("folders", nargs="+", metavar="FOLDER", help="a folder of pictures, with all below it")
    _model_option(verb, settings)
    _walk_options(verb)


def _classify_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument("folder", metavar="FOLDER", help="a folder of pictures, with all below it")
    labels = verb.add_mutually_exclusive_group(required=True)
    labels.add_argument("--labels", metavar="A,B,...", help="what a picture may show, between commas")
    labels.add_argument("--labels-file", type=Path, metavar="FILE", help="the same, a label a line")
    _templates_option(verb)
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="a table with a column for each label")
    form.add_argument("--json", action="store_true", help="a JSON object a line")
    verb.add_argument(
        "--output", type=Path, metavar="FILE", help="append to this file and leave out the pictures that it holds"
    )
    _model_option(verb, settings)
    _walk_options(verb)


def _eval_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    measurements = verb.add_subparsers(dest="what", required=True, metavar="WHAT")
    by_name = {
        name: measurements.add_parser(name, help=text, description=text.capitalize())
        for name, text in MEASUREMENTS.items()
    }
    for measurement in by_name.values():
        measurement.add_argument("--json", action="store_true", help="the result as one JSON object")
        _model_option(measurement, settings)
        _walk_options(measurement)
        _speed_options(measurement, settings)
    classification, retrieval, graded = (by_name[name] for name in ("classification", "retrieval", "graded"))
    classification.add_argument("folder", metavar="FOLDER", help="a folder with one folder of pictures for each class")
    _templates_option(classification)
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
    graded.add_argument("-k", type=_positive, default=10, metavar="N", help="hits that count (default: %(default)s)")


def _gallery_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    pictures = verb.add_mutually_exclusive_group()
    pictures.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="a folder of pictures, with all below it, through --model"
    )
    _collection_option(pictures, settings)


def _templates_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--templates",
        default=PLAIN,
        metavar="NAME",
        help=f"{', '.join(TEMPLATE_SETS)}, or one of your own such as 'a drawing of a {PLACE}' (default: %(default)s)",
    )


def _model_option(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument(
        "--model",
        default=settings.model,
        metavar="M",
        help='an open_clip name with its weights ("ViT-B-32/openai"), "hf-hub:owner/name", a local directory or '
        'weights file, "ARCHITECTURE@FILE", "bundled", or "auto": the collection\'s own, else the best that can be had '
        "(default: %(default)s)",
    )


def _walk_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="leave out names or paths below FOLDER like this"
    )
    verb.add_argument("--include-hidden", action="store_true", help="take hidden and system folders too")


def _speed_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument(
        "--device", default=settings.device, metavar="D", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    verb.add_argument(
        "--batch-size", type=_positive, default=64, metavar="N", help="images through the model at once (64)"
    )
    verb.add_argument("--workers", type=_positive, metavar="N", help="threads that decode (default: one a core)")
    verb.add_argument(
        "--max-megapixels",
        type=_positive,
        default=MAX_MEGAPIXELS,
        metavar="N",
        help="refuse larger pictures (default: %(default)s)",
    )
    verb.add_argument(
        "--exact-decode", action="store_true", help="decode large JPEGs whole: slower, and no different to the eye"
    )


def _index_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--index",
        choices=INDEX_KINDS,
        help="compare every vector, or scan codes of them and compare the best again; auto, the default for a new "
        "collection, chooses by size and measured recall; remembered",
    )
    verb.add_argument(
        "--min-recall",
        type=_share,
        metavar="R",
        help=f"the recall@10 that a scan must reach, or every vector is compared ({MIN_RECALL}); remembered",
    )


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is no share; give 0 to 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive; give 1 or more")
    return value
