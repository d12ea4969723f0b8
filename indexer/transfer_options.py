"""The options of the verbs import and export."""

from __future__ import annotations

import argparse
from pathlib import Path

from indexer.options import catalog_option, index_options

LAYOUTS = (OWN, CLIP_RETRIEVAL) = ("own", "clip-retrieval")


def import_options(verb: argparse.ArgumentParser) -> None:
    _files(verb, "folder of an export, or of an embedding set in the layout of clip-retrieval")
    verb.add_argument(
        "--model", metavar="M", help="whose vectors these are, as for build; it need not be on this machine"
    )
    catalog_option(verb)
    index_options(verb)


def export_options(verb: argparse.ArgumentParser) -> None:
    _files(verb, "folder to write to")
    verb.add_argument(
        "--snapshot",
        action="store_true",
        help="write the whole catalog as it is at one moment, even while a build runs; import restores it",
    )
    verb.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=OWN,
        help="own: everything, to import again; clip-retrieval: shards as the public embedding sets have them, with "
        "one caption an image (default: %(default)s)",
    )


def _files(verb: argparse.ArgumentParser, folder: str) -> None:
    verb.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help=f"{folder}, instead of naming each file")
    verb.add_argument("--vectors", type=Path, metavar="FILE", help="vectors of images, (n, dim), .npy")
    verb.add_argument("--rows", type=Path, metavar="FILE", help="a row for each vector, .json, .jsonl or .parquet")
    verb.add_argument("--texts", type=Path, metavar="FILE", help="vectors of the rows' captions, one after the other")
    verb.add_argument("--encoder", type=Path, metavar="FILE", help="whose vectors they are, .json")
