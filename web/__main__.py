"""`python -m web`: arguments -> a running server; one line on stderr says where it is."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from search.arguments import Parser, device, positive, runtime, whole_number
from search.exit_codes import ERROR, OK, exit_code, refuse
from search.settings import DEVICES, Settings, directory
from search.types import RUNTIMES
from web.access import LOOPBACK_NAMES, MIN_TOKEN_LENGTH, Access, is_token

THREADS = 32
"""Twice as many as go through the text tower together: while those of one batch read rows and write JSON, there is
another for the tower.
"""
RATE = "300/minute"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM and return the exit code."""
    arguments = parser().parse_args(argv)
    settings = Settings.from_environment()
    try:
        token = arguments.token_file.read_text(encoding="utf-8").strip() if arguments.token_file else settings.token
    except (OSError, UnicodeDecodeError) as error:
        return refuse(f"cannot read a token from {arguments.token_file}: {error}")
    if token is not None and not is_token(token):
        return refuse(
            f"the token has {len(token)} characters; give {MIN_TOKEN_LENGTH} or more letters, digits and signs without "
            "spaces. One nobody guesses: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if token is None and not (arguments.insecure or _is_loopback(arguments.host)):
        return refuse(
            f"--host {arguments.host} would show the pictures to everyone who can reach this machine: give a "
            "--token-file that they have to know, or --insecure if that is wanted"
        )
    directories = arguments.collection or [settings.collection]
    if twice := [
        one for place, one in enumerate(directories) if one.resolve() in map(Path.resolve, directories[:place])
    ]:
        return refuse(f"--collection {twice[0]} is given twice; give each collection once")
    return exit_code(lambda: _serve(arguments, directories, settings, token))


def _serve(arguments: argparse.Namespace, directories: Sequence[Path], settings: Settings, token: str | None) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's products here are small, and idle threads of it spin
    from web.serving import Site, serve  # from here on it takes time: NumPy, Flask, SQLAlchemy, FAISS

    site = Site(
        directories=directories,
        threads=arguments.threads,
        device=arguments.device,
        runtime=arguments.runtime,
        models=settings.models,
        cache=settings.cache,
        access=access_of(arguments, token),
        behind_proxy=bool(arguments.allow_host),
        may_fetch=arguments.allow_fetch,
    )
    serve(site, host=arguments.host, port=arguments.port, workers=arguments.workers, tell=_tell)
    return OK


def parser() -> argparse.ArgumentParser:
    settings = Settings.from_environment()
    parser = Parser(
        prog="python -m web",
        description="Serves the search page and the API of one or several collections.",
        epilog=f"Ctrl-C ends it. Exit codes: {OK} ended, {ERROR} not possible.",
    )
    parser.add_argument(
        "--collection",
        type=directory,
        action="append",
        metavar="DIR",
        help=f"where a collection is; may be given several times, the first is the default ({settings.collection})",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8000,
        metavar="P",
        help="default: %(default)s; 0 takes a free one",
    )
    parser.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes, each with the models (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=positive, default=THREADS, metavar="N", help="requests at once in each (%(default)s)"
    )
    parser.add_argument(
        "--device",
        type=device,
        default=settings.device,
        metavar="D",
        help=f"{DEVICES} (default: %(default)s)",
    )
    parser.add_argument(
        "--runtime",
        type=runtime,
        choices=RUNTIMES,
        default=settings.runtime,
        help="what computes on a CPU: PyTorch, ONNX Runtime, or what a test found faster (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="ask for the token in this file (or in IMAGE_SEARCH_TOKEN)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer under this name too, as a proxy on this machine passes it on, and believe what the proxy adds",
    )
    parser.add_argument(
        "--rate-limit",
        type=_rate,
        metavar="RATE",
        help=f'requests of one client, such as {RATE}, or "off" (default: off on this machine, {RATE} beyond it)',
    )
    parser.add_argument(
        "--allow-fetch",
        action="store_true",
        help="fetch pictures from public URLs that the page and the API are asked with",
    )
    parser.add_argument(
        "--show-places",
        action="store_true",
        help="tell others too where pictures were taken; without it, only a server for this machine alone does",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine without a token: anyone there may look"
    )
    return parser


def access_of(arguments: argparse.Namespace, token: str | None) -> Access:
    """Without a token, only this machine may ask, and only under its own names.

    A rate is for others than its owner, and so is silence about places.
    """
    local = _is_loopback(arguments.host)
    own = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    names = (*LOOPBACK_NAMES, own, *arguments.allow_host)
    private = local and not arguments.allow_host
    rate = None if private else RATE
    if arguments.rate_limit:
        rate = None if arguments.rate_limit == "off" else arguments.rate_limit
    return Access(
        token=token,
        hosts=names if local and token is None else (),
        rate=rate,
        places=private or arguments.show_places,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _rate(text: str) -> str:
    from limits import parse_many

    try:
        if text != "off" and not all(item.amount > 0 for item in parse_many(text)):
            raise ValueError(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate; give one such as {RATE}, or off") from None
    return text


if __name__ == "__main__":
    sys.exit(main())
