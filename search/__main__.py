"""`python -m search QUERY...`: hits on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from search.arguments import Parser, device, runtime
from search.errors import BadPicture
from search.exit_codes import ERROR, INTERRUPTED, NO, OK, exit_code, refuse
from search.prompts import TEMPLATE_SETS, templates_of
from search.settings import DEVICES, MAX_K, Settings, directory
from search.tell import Answer, Form, hit_lines, lookup_lines, remarks
from search.terminal import harmless, write_out
from search.types import HIDE, RANKINGS, RUNTIMES, SENSITIVE, SHOW, TARGETS, WANTED

if TYPE_CHECKING:
    from search.collection import Collection
    from search.lookup import Candidate
    from search.searcher import Searcher

OF_A_QUERY = ("server", "target", "where", "tag", "ranking", "exact", "group", "diverse", "templates")
"""Options that a lookup does not take."""


def main(argv: Sequence[str] | None = None) -> int:
    """Search once and return the exit code."""
    options = parser()
    arguments = options.parse_args(argv)
    if bool(arguments.query) == bool(arguments.lookup):
        return refuse("give a query, or --lookup FILE..., and not both")
    asked = [name for name in OF_A_QUERY if getattr(arguments, name) != options.get_default(name)]
    if arguments.lookup and asked:
        return refuse(f"--lookup takes no --{asked[0]}; it asks all of a collection here (a server: /api/v1/lookup)")
    return exit_code(lambda: (_looked_up if arguments.lookup else _asked)(arguments, Settings.from_environment()))


def _asked(arguments: argparse.Namespace, settings: Settings) -> int:
    answer = (_asked_of_server if arguments.server else _searched)(arguments, settings)
    for remark in remarks(answer, arguments.query):
        _note(remark)
    _write(hit_lines(answer, _form(arguments)))
    return OK if answer.hits else NO


def parser() -> argparse.ArgumentParser:
    settings = Settings.from_environment()
    parser = Parser(
        prog="python -m search",
        description="Finds images, or texts about them, nearest to a query.",
        epilog=f"Exit codes: {OK} something was found, {NO} nothing, {ERROR} not possible, {INTERRUPTED} interrupted.",
    )
    parser.add_argument(
        "query",
        nargs="*",
        metavar="QUERY",
        help="words, ./picture.jpg (a path begins with ./, ../, / or ~/) or id:123; several are added up; in quoted "
        'words -word takes away; or a sum such as \'"a beach" + ./dog.jpg*0.5 - "people"\'',
    )
    parser.add_argument(
        "--collection",
        type=directory,
        metavar="DIR",
        help=f"where (default: {settings.collection}); a name with --server",
    )
    parser.add_argument(
        "--server",
        metavar="URL",
        help="ask a running python -m web, such as http://127.0.0.1:8000, with the token in IMAGE_SEARCH_TOKEN if any",
    )
    parser.add_argument("--target", choices=WANTED, default="images", help="what to find (default: %(default)s)")
    parser.add_argument("-k", type=int, default=10, metavar="N", help=f"how many, 1 to {MAX_K} (default: %(default)s)")
    parser.add_argument(
        "--where",
        default="",
        metavar="FILTER",
        help="only images that satisfy this, such as 'taken>=2024-06 -format:png near:48.2,16.37,10km'",
    )
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
    parser.add_argument(
        "--exact", action="store_true", help="compare every vector, even where an index of codes is good enough"
    )
    parser.add_argument(
        "--group", action="store_true", help="near-identical hits as one: the first of them, with how many there are"
    )
    parser.add_argument(
        "--diverse", action="store_true", help="what shows something else before more of the same (docs/RANKING.md)"
    )
    parser.add_argument(
        "--templates",
        default="",
        metavar="T",
        help=f"the mean of a text in all of these stands for it: {', '.join(TEMPLATE_SETS)}, or your own with {{}}",
    )
    parser.add_argument("--device", type=device, default=settings.device, metavar="D", help=DEVICES)
    parser.add_argument(
        "--runtime",
        type=runtime,
        choices=RUNTIMES,
        default=settings.runtime,
        help="what computes on a CPU: PyTorch, ONNX Runtime, or that if its towers are there (default: %(default)s)",
    )
    parser.add_argument(
        "--lookup",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=f"instead of a query: whether these pictures are in the collection, edited or not; exit code {NO} unless "
        "all are",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object with all that is known of each hit")
    form.add_argument("--paths", action="store_true", help="just the paths, a line each")
    return parser


def _asked_of_server(arguments: argparse.Namespace, settings: Settings) -> Answer:
    from search.query import parse
    from search.remote import ask

    return ask(
        arguments.server,
        parse(arguments.query),
        k=arguments.k,
        target=arguments.target,
        where=arguments.where,
        tags=arguments.tag,
        sensitive=arguments.sensitive,
        ranking=arguments.ranking,
        exact=arguments.exact,
        group=arguments.group,
        diverse=arguments.diverse,
        templates=arguments.templates,
        collection=arguments.collection and str(arguments.collection),
        token=settings.token,
    )


def _searched(arguments: argparse.Namespace, settings: Settings) -> Answer:
    from search.collection import Collection  # from here on it takes time: SQLAlchemy, FAISS, a tower for words
    from search.expression import condition, parse_conditions
    from search.filters import Filter
    from search.mixed import page
    from search.query import parse

    directory = arguments.collection or settings.collection
    tagged = (condition("tag", ":", name) for name in arguments.tag)
    where = Filter((*parse_conditions(arguments.where), *tagged), arguments.sensitive == SHOW)
    with closing(Collection.open(directory)) as collection:
        found = page(
            _searcher(collection, arguments, settings),
            parse(arguments.query),
            k=arguments.k,
            target=arguments.target,
            where=where,
            ranking=arguments.ranking,
            exact=arguments.exact,
            group=arguments.group,
            diverse=arguments.diverse,
            templates=templates_of(arguments.templates) if arguments.templates else (),
        )
        targets = TARGETS if arguments.target == "both" else [arguments.target]
        if not found.hits and not any(len(collection.index(target)) for target in targets):
            _note(f"{directory} holds no {' and no '.join(targets)} yet")
        elif not found.hits and not where.show_sensitive and any(map(collection.catalog.tags.hidden, targets)):
            _note("what has a sensitive tag is left out; --sensitive show would look through it too")
        elif not found.hits and not where.is_empty:
            _note(f"nothing satisfies {where}")
        tags = collection.catalog.tags.of([hit.image_id for hit in found.hits], found.state)
        return Answer(found.hits, tags, found.matched, found.length)


def _searcher(collection: Collection, arguments: argparse.Namespace, settings: Settings) -> Searcher:
    from search.loader import Loader
    from search.searcher import Searcher

    loader = Loader(
        purpose="query",
        cache=settings.cache,
        threads=settings.threads,
        device=arguments.device,
        runtime=arguments.runtime,
        models=settings.models,
        tell=_note,
    )
    return Searcher(collection, lambda: loader.of(collection.identity))


def _looked_up(arguments: argparse.Namespace, settings: Settings) -> int:
    """Tell of each picture what it is; NO unless all are in the collection."""
    from search.collection import Collection
    from search.lookup import by_image
    from search.paths import read_file

    show = arguments.sensitive == SHOW
    found: dict[Path, Sequence[Candidate]] = {}
    code = OK
    with closing(Collection.open(arguments.collection or settings.collection)) as collection:
        searcher = _searcher(collection, arguments, settings)
        for file in arguments.lookup:
            try:
                found[file] = by_image(searcher, read_file(file), k=arguments.k, show_sensitive=show)
            except BadPicture as error:  # the others are told all the same
                code = refuse(f"{file}: {error}")
    _write(lookup_lines(found, _form(arguments)))
    return code or (OK if all(any(one.is_same for one in candidates) for candidates in found.values()) else NO)


def _note(text: str) -> None:
    print(harmless(text, lines=True), file=sys.stderr)


def _form(arguments: argparse.Namespace) -> Form:
    return "json" if arguments.json else "paths" if arguments.paths else "words"


def _write(lines: Sequence[str]) -> None:
    write_out("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
