"""Options that several verbs take."""

from __future__ import annotations

import argparse

from search.arguments import device, positive, runtime, whole_number
from search.errors import CollectionError
from search.milvus_place import MilvusPlace, is_milvus
from search.prompts import PLACE, PLAIN, TEMPLATE_SETS
from search.settings import DEVICES, KEYPOINTS, MAX_KEYPOINTS, MAX_MEGAPIXELS, Settings, directory
from search.types import DUPLICATE_KINDS, INDEX_KINDS, MIN_RECALL, PRECISIONS, RUNTIMES


def collection_option(verb: argparse._ActionsContainer, settings: Settings) -> None:
    verb.add_argument(
        "--collection",
        type=directory,
        default=settings.collection,
        metavar="DIR",
        help="where the collection is (default: %(default)s)",
    )


def catalog_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--catalog",
        metavar="URL",
        help="keep the catalog of a new collection in PostgreSQL, such as postgresql+psycopg://user@host/database "
        "(default: in a file of the collection, by SQLite); remembered",
    )


def model_option(verb: argparse.ArgumentParser, settings: Settings, *, first: str = "") -> None:
    """`first` is what is taken before all else where nothing is said."""
    verb.add_argument(
        "--model",
        default=None if first else settings.model,
        metavar="M",
        help='an open_clip name with its weights ("ViT-B-32/openai"), "hf-hub:owner/name", a local directory or '
        'weights file, "ARCHITECTURE@FILE", "bundled", or "auto": '
        f"{first}the best that can be had (default: {first}{settings.model})",
    )
    verb.add_argument(
        "--precision",
        choices=PRECISIONS,
        help=f"of the image tower; int8 is faster on a CPU, nearly as exact (default: {first}fp32)",
    )


def walk_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="leave out names or paths below FOLDER like this"
    )
    verb.add_argument("--include-hidden", action="store_true", help="take hidden and system folders too")


def device_option(verb: argparse.ArgumentParser, settings: Settings) -> None:
    verb.add_argument(
        "--device",
        type=device,
        default=settings.device,
        metavar="D",
        help=f"{DEVICES} (default: %(default)s)",
    )
    verb.add_argument(
        "--runtime",
        type=runtime,
        choices=RUNTIMES,
        default=settings.runtime,
        help="what computes on a CPU: PyTorch, ONNX Runtime, or what a test found faster (default: %(default)s)",
    )


def speed_options(verb: argparse.ArgumentParser, settings: Settings) -> None:
    device_option(verb, settings)
    verb.add_argument(
        "--batch-size", type=positive, default=64, metavar="N", help="images through the model at once (64)"
    )
    verb.add_argument("--workers", type=positive, metavar="N", help="threads that decode (default: one a core)")
    verb.add_argument(
        "--max-megapixels",
        type=positive,
        default=MAX_MEGAPIXELS,
        metavar="N",
        help="refuse larger pictures (default: %(default)s)",
    )
    verb.add_argument(
        "--exact-decode", action="store_true", help="decode large JPEGs whole: slower, and no different to the eye"
    )


def ray_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="read and encode on the machines of a Ray cluster: its host:port, auto for the one that this machine is "
        "in, or local to start one here",
    )
    verb.add_argument(
        "--ray-actors",
        type=positive,
        metavar="N",
        help="encoders on the cluster (default: one a GPU, else one a machine)",
    )


def templates_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--templates",
        default=PLAIN,
        metavar="NAME",
        help=f"{', '.join(TEMPLATE_SETS)}, or one of your own such as 'a drawing of a {PLACE}' (default: %(default)s)",
    )


def index_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--index",
        type=index_kind,
        metavar="KIND",
        help="exact, scan or auto: compare every vector, or scan codes of them and compare the best again; auto, the "
        "default for a new collection, chooses by size and measured recall. Or a URL such as "
        "milvus+http://host:19530/name, for an index in a Milvus server; remembered",
    )
    verb.add_argument(
        "--min-recall",
        type=share,
        metavar="R",
        help=f"the recall@10 that a scan must reach, or every vector is compared ({MIN_RECALL}); remembered",
    )


def keypoints_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--keypoints",
        type=whole_number(0, MAX_KEYPOINTS),
        default=KEYPOINTS,
        metavar="N",
        help=f"local features kept of each new image, 0 to {MAX_KEYPOINTS}, 70 bytes each: lookups and duplicates tell "
        "edited copies by them (default: %(default)s)",
    )


def duplicates_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--kind",
        choices=DUPLICATE_KINDS,
        default="edited",
        help="the same files; edited copies too; or also what looks alike (default: %(default)s)",
    )
    form = verb.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the result as one JSON object")
    form.add_argument("--csv", action="store_true", help="a row for each image, with the number of its group")
    form.add_argument("--paths", action="store_true", help="the paths of all but the best of each group, a line each")


def index_kind(text: str) -> str:
    """A kind of index in files, or the URL of one in a Milvus server."""
    if is_milvus(text):
        try:
            MilvusPlace.read(text)
        except CollectionError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    elif text not in INDEX_KINDS:
        kinds = ", ".join(INDEX_KINDS)
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of {kinds}, nor a URL such as milvus+http://host:19530/name"
        )
    return text


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; give 0 to 1")
    return value
