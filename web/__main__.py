"""`python -m web`: arguments -> a running server; one line on stderr says where it is."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

from search.errors import SearchError
from search.exit_codes import ERROR, OK
from search.settings import Settings

THREADS = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM and return the exit code."""
    arguments = parser().parse_args(argv)
    if not (arguments.insecure or _is_loopback(arguments.host)):
        return _refuse(
            f"--host {arguments.host} would show the pictures to everyone who can reach this machine, and there is no "
            "login yet: give --insecure if that is wanted, or put a proxy that asks for one before 127.0.0.1"
        )
    from web.serving import Site, serve  # from here on it takes time: Flask, SQLAlchemy, FAISS

    settings = Settings.from_environment()
    try:
        site = Site(
            directories=arguments.collection or [settings.collection],
            threads=arguments.threads,
            device=arguments.device,
            models=settings.models,
        )
        serve(site, host=arguments.host, port=arguments.port, workers=arguments.workers, tell=_tell)
    except SearchError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot listen on {arguments.host} port {arguments.port}: {error.strerror or error}")
    return OK


def parser() -> argparse.ArgumentParser:
    settings = Settings.from_environment()
    parser = argparse.ArgumentParser(
        prog="python -m web",
        description="Serves the search page and the API of one or several collections.",
        epilog=f"Ctrl-C ends it. Exit codes: {OK} ended, {ERROR} not possible.",
    )
    parser.add_argument(
        "--collection",
        type=Path,
        action="append",
        metavar="DIR",
        help=f"where a collection is; may be given several times, the first is the default ({settings.collection})",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, metavar="P", help="default: %(default)s; 0 takes a free one"
    )
    parser.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="processes, each with the models (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=_positive, default=THREADS, metavar="N", help="requests at once in each (%(default)s)"
    )
    parser.add_argument(
        "--device", default=settings.device, metavar="D", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="listen beyond this machine although anyone there may look"
    )
    return parser


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _refuse(why: str) -> int:
    _tell(f"error: {why}")
    return ERROR


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive; give 1 or more")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{value} is no port; give 0 to 65535")
    return value


if __name__ == "__main__":
    sys.exit(main())
