"""`python -m search QUERY...`: hits on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from search.errors import SearchError
from search.exit_codes import ERROR, INTERRUPTED, NO, OK
from search.settings import MAX_K, Settings
from search.types import HIDE, RANKINGS, SENSITIVE, SHOW, TARGETS

if TYPE_CHECKING:
    from search.encoder import Encoder
    from search.records import Tag
    from search.types import Hit


def main(argv: Sequence[str] | None = None) -> int:
    """Search once and return the exit code."""
    arguments = parser().parse_args(argv)
    try:
        hits, tags = _search(arguments)
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    _print(hits, tags, arguments)
    return OK if hits else NO


def parser() -> argparse.ArgumentParser:
    settings = Settings.from_environment()
    parser = argparse.ArgumentParser(
        prog="python -m search",
        description="Finds images, or texts about them, nearest to a query.",
        epilog=f"Exit codes: {OK} something was found, {NO} nothing, {ERROR} not possible, {INTERRUPTED} interrupted.",
    )
    parser.add_argument(
        "query",
        nargs="+",
        metavar="QUERY",
        help="words, ./picture.jpg (a path begins with ./, / or ~/) or id:123; several are added up; in quoted words "
        "-word takes away",
    )
    parser.add_argument(
        "--collection", type=Path, default=settings.collection, metavar="DIR", help="where (default: %(default)s)"
    )
    parser.add_argument("--target", choices=TARGETS, default="images", help="what to find (default: %(default)s)")
    parser.add_argument("-k", type=int, default=10, metavar="N", help=f"how many, 1 to {MAX_K} (default: %(default)s)")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="NAME",
        help="only images with this tag; several: with all of them",
    )
    parser.add_argument(
        "--sensitive", choices=SENSITIVE, default=HIDE, help="images with a sensitive tag (default: %(default)s)"
    )
    parser.add_argument(
        "--ranking",
        choices=RANKINGS,
        default="balanced",
        help="the order: terms weigh alike and no image is near to all, or the cosine alone (default: %(default)s)",
    )
    parser.add_argument("--device", default=settings.device, metavar="D", help="auto, cpu, cuda or cuda:N")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object with all that is known of each hit")
    form.add_argument("--paths", action="store_true", help="just the paths, a line each")
    return parser


def _search(arguments: argparse.Namespace) -> tuple[list[Hit], dict[int, list[Tag]]]:
    """The hits, and the tags of their images by id."""
    from search.collection import Collection  # from here on it takes time: FAISS, and torch when words are asked
    from search.filters import Filter
    from search.query import parse
    from search.searcher import Searcher

    settings = Settings.from_environment()
    with closing(Collection.open(arguments.collection)) as collection:

        def load() -> Encoder:
            from search.encoder import load_encoder

            return load_encoder(collection.identity.model, device=arguments.device, models=settings.models)

        searcher = Searcher(collection, load)
        where = Filter(tags=tuple(arguments.tag), show_sensitive=arguments.sensitive == SHOW)
        page = searcher.page(
            parse(arguments.query),
            k=arguments.k,
            target=arguments.target,
            where=where,
            ranking=arguments.ranking,
        )
        if not page.hits and not len(collection.index(arguments.target)):
            print(f"{arguments.collection} holds no {arguments.target} yet", file=sys.stderr)
        elif not page.hits and not where.show_sensitive and collection.catalog.tags.hidden(arguments.target):
            print("what has a sensitive tag is left out; --sensitive show takes it in", file=sys.stderr)
        if page.length and page.length.truncated:
            print(
                f"the text has {page.length.tokens} tokens; the model reads the first {page.length.context} of them",
                file=sys.stderr,
            )
        if page.hits and page.matched is False:
            print("nothing here is a clear match; these are the nearest", file=sys.stderr)
        return page.hits, collection.catalog.tags.of([hit.image_id for hit in page.hits])


def _print(hits: Sequence[Hit], tags: Mapping[int, Sequence[Tag]], arguments: argparse.Namespace) -> None:
    """Paths go out byte by byte as they are on the disk, whatever their encoding."""
    if arguments.json:
        rows = [{**hit.to_dict(), "tags": [tag._asdict() for tag in tags.get(hit.image_id, ())]} for hit in hits]
        lines = [json.dumps({"hits": rows}, indent=2)]
    elif arguments.paths:
        lines = [str(hit.path) for hit in hits]
    else:
        lines = [
            f"{hit.score:.4f}  id:{hit.image_id:<7} {hit.path}" + (f"  {hit.text}" if hit.text else "") for hit in hits
        ]
    sys.stdout.buffer.write(b"".join(os.fsencode(line) + b"\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
