"""A Milvus server -> a client of it; what it says no to, and its silence, as errors of this package."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from search.errors import CollectionError
from search.milvus_place import MilvusPlace

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CONNECT_TIMEOUT_S = 10
RETRIES = 20
"""How often a call of a publication is made while the server does not answer: three quarters of a minute."""

NOT_FOUND = 100
NOT_LOADED = 101
_NO_ALIAS = 1600


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
            raise CollectionError(
                f"the Milvus server at {place.uri} is out of reach: when it is in order, run the same again: what was "
                "written is kept"
            ) from error
        raise CollectionError(f"the Milvus server at {place.uri} refuses: {_first_line(error.message)}") from error


def alias_of(client: MilvusClient, alias: str) -> str | None:
    """The collection that the alias names; None where there is no such alias."""
    from pymilvus.exceptions import MilvusException

    try:
        return str(client.describe_alias(alias, timeout=CONNECT_TIMEOUT_S)["collection_name"])
    except MilvusException as error:
        if error.code != _NO_ALIAS:
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


def _first_line(message: object) -> str:
    return str(message).strip().partition("\n")[0]
