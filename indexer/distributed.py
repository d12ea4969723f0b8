"""Files to read -> these, read, with the vectors of their new contents: on the machines of a Ray cluster.

A fixed pool of actors, one for each GPU or else for each machine, does what `indexer.stage` does on one machine, with
the same code. Only the driver, which is the build itself, plans and writes; so it may die and be run again.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.in_flight import InFlight
from indexer.patience import Patience
from indexer.plan import Work
from indexer.stage import Encoded, LocalStage, MakeStage
from indexer.worker import Digests, LoadOnWorker, Worker, sound
from search.errors import ClusterError

try:
    import ray
    from ray import data as ray_data
except ModuleNotFoundError as error:
    raise ClusterError("--ray needs the package ray: pip install 'text-image-search[ray]'") from error

if TYPE_CHECKING:
    from indexer.build import Options
    from search.encoder import Encoder

LOCAL, AUTO = "local", "auto"
"""In place of an address: a cluster of this machine alone, for as long as the build runs; the one it belongs to."""

_REACH_SECONDS = 10

_TASKS = 4
"""Tasks for each actor, at least, in a small build, so that none waits for the last."""


class Pool(NamedTuple):
    """How many actors encode, and what each takes of its machine; of a machine with few cores for its GPUs, parts."""

    actors: int
    cores: float
    gpus: int

    @property
    def threads(self) -> int:
        return max(1, int(self.cores))


@contextmanager
def ray_cluster(address: str, *, actors: int | None, gpus: bool, load: LoadOnWorker) -> Iterator[MakeStage]:
    """Be a driver of the cluster at `address`, "host:port", "auto" or "local", as long as the block runs.

    `actors` is how many encode, by default `pool_of`'s choice; `gpus` whether they may take one each; `load` gives a
    worker its encoder. Raises ClusterError where no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here tells nobody of itself
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of what its processes say here; their own logs have more
    dashboard: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **dashboard)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"no Ray cluster can be joined at {address} ({error}). Start one: ray start --head; or take --ray {LOCAL}"
        ) from error
    _quieten()
    try:
        yield partial(RayStage, pool_of(_nodes(), gpus=gpus, actors=actors), load)
    finally:
        ray.shutdown()


def pool_of(nodes: Iterable[Mapping[str, Any]], *, gpus: bool, actors: int | None = None) -> Pool:
    """One actor for each GPU of the living `nodes` (as of `ray.nodes()`), else one for each node, sharing its cores.

    Raises ClusterError where there are no cores, or fewer GPUs than `actors`.
    """
    having = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    with_gpu = [resources for resources in having if gpus and resources.get("GPU", 0) >= 1]
    if not having:
        raise ClusterError("the Ray cluster has no machine with a CPU to offer: ray start --num-cpus N")
    if with_gpu:
        places = sum(int(resources["GPU"]) for resources in with_gpu)
        cores = min(resources["CPU"] / resources["GPU"] for resources in with_gpu)
    else:
        places, cores = len(having), min(resources["CPU"] for resources in having)
        if actors and actors > places:
            cores, places = max(1, cores * places // actors), int(sum(resources["CPU"] for resources in having))
    if actors and actors > places:
        what = "GPUs" if with_gpu else "cores"
        raise ClusterError(f"{actors} actors are asked for and the cluster has {places} {what}; give --ray-actors less")
    return Pool(actors or places, cores, 1 if with_gpu else 0)


def _reach(address: str) -> None:
    """Raise OSError or ValueError unless something listens there: Ray itself would try for minutes."""
    if address not in (LOCAL, AUTO):
        host, colon, port = address.rpartition(":")
        if not colon or "/" in address:
            raise ValueError("an address is host:port, auto or local")
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _quieten() -> None:
    """Leave stderr to the build's own progress."""
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


class RayStage:
    """The stage on a cluster. Captions come encoded with their files; what else there is is encoded on the driver."""

    def __init__(
        self,
        pool: Pool,
        load: LoadOnWorker,
        load_encoder: Callable[[], Encoder],
        options: Options,
        patience: Patience,
        _in_flight: InFlight,  # of this machine's decoders, which rest
    ) -> None:
        self._pool = pool
        self._load = load
        self._load_encoder = load_encoder
        self._options = options
        self._stop = patience.stop
        self._here = LocalStage(load_encoder, options, patience)
        self._texts: dict[str, NDArray[np.float32]] = {}

    def encode(self, works: Sequence[Work], known: Collection[bytes]) -> Iterator[Encoded]:
        identity = self._load_encoder().identity
        size = self._task_size(len(works))
        tasks = [{"task": pickle.dumps(works[start : start + size])} for start in range(0, len(works), size)]
        results = ray_data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
            Worker,
            fn_constructor_args=(
                self._load,
                identity,
                replace(self._options, workers=self._pool.threads),
                Digests(known),
            ),
            batch_size=1,
            compute=ray_data.ActorPoolStrategy(size=self._pool.actors),
            num_cpus=self._pool.cores,
            num_gpus=self._pool.gpus or None,
        )
        try:
            for row in results.iter_rows():
                result = sound(pickle.loads(row["result"]))
                self._texts = result.texts
                yield result.encoded
                if self._stop.is_set():
                    return
        except ray.exceptions.RayError as error:
            raise ClusterError(f"the Ray cluster did not finish, run the build again to go on: {error}") from error

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        missing = [text for text in texts if text not in self._texts]
        if missing:
            self._texts.update(zip(missing, self._here.encode_texts(missing), strict=True))
        return np.stack([self._texts[text] for text in texts])

    def _task_size(self, works: int) -> int:
        """Files a task: some batches of the model's, fewer where there are not enough for every actor."""
        return max(1, min(4 * self._options.batch_size, -(-works // (_TASKS * self._pool.actors))))
