"""A Milvus server -> a client of it; what it says no to, and its silence, as errors of this package."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from search.errors import CollectionError
from search.milvus_place import MilvusPlace

if TYPE_CHECKING:
    from pymilvus import MilvusClient

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10
PATIENCE_S = 60
"""How long a publication waits for a server that does not answer: it may be restarted."""

NOT_FOUND = 100
NOT_LOADED = 101
_NO_ALIAS = 1600
_STARTING = (1, 65535)
"""Parts of the server are not ready, or do not find each other: it says so of other errors too, which stay."""


class ServerAway(CollectionError):
    """The server does not answer."""


def connect(place: MilvusPlace) -> MilvusClient:
    """The client of a place's server: one for each server in a process, for all of its threads."""
    with asking(place):
        return _client(place.uri)


@contextmanager
def asking(place: MilvusPlace) -> Iterator[None]:
    """Whatever the server does not do raises CollectionError: it does not answer, or it has a reason."""
    try:
        import grpc
        from pymilvus.exceptions import MilvusException
    except ModuleNotFoundError as error:
        raise CollectionError(
            "an index in Milvus needs the package pymilvus: pip install 'text-image-search[milvus]'"
        ) from error
    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        if isinstance(error, grpc.RpcError) or _is_silence(error):
            raise ServerAway(
                f"the Milvus server at {place.uri} is out of reach: when it is in order, run the same again: what was "
                "written is kept"
            ) from error
        raise CollectionError(f"the Milvus server at {place.uri} refuses: {_reason(error.message)}") from error


def patiently(place: MilvusPlace, call: Callable[[], T]) -> T:
    """What `call` gives. It is called again, for up to PATIENCE_S, while the server does not answer or starts."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with asking(place):
                return call()
        except CollectionError as error:
            away = isinstance(error, ServerAway) or any(failed_with(error, code) for code in _STARTING)
            if not away or time.monotonic() > end:
                raise
        time.sleep(1)


def alias_of(client: MilvusClient, alias: str) -> str | None:
    """The collection that the alias names; None where there is no such alias."""
    from pymilvus.exceptions import MilvusException

    try:
        return str(client.describe_alias(alias, timeout=CONNECT_TIMEOUT_S)["collection_name"])
    except MilvusException as error:
        if error.code not in (_NO_ALIAS, NOT_FOUND):  # milvus-lite has one code for what is not there
            raise
        return None


def failed_with(error: CollectionError, code: int) -> bool:
    """Whether it is the server that says so, by its code."""
    return getattr(error.__cause__, "code", None) == code


@cache
def _client(uri: str) -> MilvusClient:
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")  # pymilvus takes over what an .env file nearby says
    from pymilvus import MilvusClient

    for name in ("pymilvus", "pymilvus.milvus_client"):  # it prints what it raises
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MilvusClient(uri=uri, timeout=CONNECT_TIMEOUT_S)


def _is_silence(error: Exception) -> bool:
    """Whether no answer came: the code is one of gRPC, or that of a connection that cannot be made."""
    import grpc
    from pymilvus.exceptions import MilvusUnavailableException

    code = getattr(error, "code", None)
    return isinstance(code, grpc.StatusCode) or isinstance(error, MilvusUnavailableException) or code == 2


def _reason(message: object) -> str:
    """What comes last: before it there may be where in the server it was."""
    return str(message).strip().rpartition("\n")[2].strip()
