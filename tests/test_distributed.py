"""Builds on a Ray cluster of two machines on loopback: what a local build makes, whatever dies meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from search.collection import Collection
from search.errors import ClusterError
from search.settings import PROJECT
from search.verify import verify
from tests import bad_decoders
from tests.colors import COLORS
from tests.conftest import Build, paint

pytest.importorskip("ray", reason="builds on a cluster need ray: pip install 'text-image-search[ray]'")

from ray.cluster_utils import Cluster

from indexer.distributed import pool_of, ray_cluster
from tests.ray_build import load, load_with_bad_decoders, ray_build
from tests.test_tars import pack

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)

Content = dict[str, tuple[Any, ...]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two machines with a core each, which notice soon that one is dead."""
    checks = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": checks}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """80 pictures with captions in two folders, copies of some, one that is broken, and bad captions."""
    folder = tmp_path / "photos"
    names = list(COLORS)
    for number in range(80):
        color = tuple(min(255, value + number) for value in COLORS[names[number % len(names)]])
        file = folder / ("even" if number % 2 == 0 else "odd") / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16 + number, 16), color).save(file)
        file.with_suffix(".txt").write_text(f"{names[number % len(names)]} {number}\nred\n")
    for number in range(0, 80, 10):
        (folder / "odd" / f"copy-{number}.png").write_bytes((folder / "even" / f"{number:02}.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    paint(folder / "bad-captions.png", "red")
    (folder / "bad-captions.json").write_text("[")
    return folder


def content(collection: Collection) -> Content:
    """All that the catalog holds, without ids and times, which tell the order of the work."""
    images = {
        image.stamp.path: (image.stamp, image.digest, image.facts, image.vector, tuple(image.captions))
        for images in collection.catalog.bulk.images(50)
        for image in images
    }
    failures = {path: (reason,) for path, reason, _ in collection.catalog.failures()}
    return images | failures


def opened(directory: Path) -> Content:
    """The content of a collection that is as it should be, and searched whole."""
    collection = Collection.open(directory)
    assert verify(collection).clean
    assert collection.published().facts["images"].vectors == collection.catalog.counts()["images"]
    return content(collection)


@pytest.fixture
def expected(collection: Collection, folder: Path, index: Build) -> Content:
    """What a local build makes."""
    report = index(folder, batch_size=2)
    assert (report.new, report.copied, report.failed, report.encoded) == (81, 8, 1, 81)
    return content(collection)


def test_a_build_on_two_machines_makes_what_a_local_build_makes_and_a_second_one_writes_nothing(
    tmp_path: Path, cluster: Cluster, folder: Path, expected: Content
) -> None:
    seen = []
    report = ray_build(
        cluster.address, tmp_path / "there", folder, progress=lambda _, done, total: seen.append((done, total))
    )
    assert opened(tmp_path / "there") == expected
    assert (report.new + report.copied, report.failed, len(report.bad_captions)) == (89, 1, 1)
    assert report.encode_seconds > 0 < report.decode_seconds
    assert seen[-1] == (90, 90)
    assert not ray_build(cluster.address, tmp_path / "there", folder).wrote


def test_shards_on_a_cluster_are_what_their_folder_is(
    tmp_path: Path, cluster: Cluster, folder: Path, expected: Content
) -> None:
    tar = pack(tmp_path / "00000.tar", folder / "even")
    report = ray_build(cluster.address, tmp_path / "there", tar)
    assert (report.new, report.failed) == (40, 0)
    found = {Path(path).name: values[1:] for path, values in opened(tmp_path / "there").items()}
    assert found == {Path(path).name: values[1:] for path, values in expected.items() if "/even/" in path}


def test_a_store_is_read_by_the_machines_of_a_cluster(
    tmp_path: Path, cluster: Cluster, folder: Path, expected: Content
) -> None:
    report = ray_build(cluster.address, tmp_path / "there", f"file://{folder}")
    assert (report.new + report.copied, report.failed, report.unreadable) == (89, 1, {})
    found = {path.removeprefix("file://"): values[1:] for path, values in opened(tmp_path / "there").items()}
    assert found == {path: values[1:] for path, values in expected.items()}


def test_nothing_is_lost_or_there_twice_when_a_machine_dies(
    tmp_path: Path, cluster: Cluster, folder: Path, expected: Content
) -> None:
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def kill(_report: object, done: int, _total: int) -> None:
        if doomed in cluster.list_all_nodes():
            assert done < 60
            cluster.remove_node(doomed, allow_graceful=False)

    ray_build(cluster.address, tmp_path / "there", folder, progress=kill, actors=3)
    assert doomed not in cluster.list_all_nodes()
    assert opened(tmp_path / "there") == expected


def test_a_killed_driver_is_run_again_and_goes_on(
    tmp_path: Path, cluster: Cluster, folder: Path, expected: Content
) -> None:
    directory = tmp_path / "there"
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_build", cluster.address, str(directory), str(folder)], cwd=PROJECT
    )
    while not committed(directory):
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    assert driver.wait() != 0
    before = committed(directory)
    assert 0 < before < len(expected)
    report = ray_build(cluster.address, directory, folder)
    assert report.unchanged == before
    assert opened(directory) == expected


def test_a_picture_that_takes_workers_down_is_recorded_and_the_others_are_indexed(
    tmp_path: Path, cluster: Cluster, photos: Path
) -> None:
    """Ray starts a dead worker again, and gives it the same task."""
    (photos / "crashes.qoi").write_bytes(bad_decoders.picture("crashes", "QOI"))
    report = ray_build(
        cluster.address, tmp_path / "there", photos, load=partial(load_with_bad_decoders, tmp_path / "cache")
    )
    assert (report.new, report.failed) == (3, 1)
    found = opened(tmp_path / "there")
    assert found[str(photos / "crashes.qoi")] == (f"the decoder of QOI crashed (signal {int(signal.SIGSEGV)})",)


def committed(directory: Path) -> int:
    if not Collection.exists(directory):
        return 0
    collection = Collection.open(directory)
    counts = collection.catalog.counts()
    collection.close()
    return counts["images"] + counts["failures"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "ray://127.0.0.1:1", "127.0.0.1:one"])
def test_no_cluster_is_an_error_that_says_how_to_have_one(address: str) -> None:
    with (
        pytest.raises(ClusterError, match=f"no Ray cluster can be joined at {address} .* ray start --head"),
        ray_cluster(address, actors=None, gpus=True, load=load),
    ):
        pass


def node(cores: float, gpus: float = 0, *, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": cores, "memory": 1.0} | ({"GPU": gpus} if gpus else {})}


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        ([node(8), node(4)], {}, (2, 4, 0)),
        ([node(8), node(4), node(16, alive=False), node(0)], {}, (2, 4, 0)),
        ([node(16, 4), node(8, 1), node(64)], {}, (5, 4, 1)),
        ([node(2, 4)], {}, (4, 0.5, 1)),
        ([node(16, 4)], {"gpus": False}, (1, 16, 0)),
        ([node(16, 4)], {"actors": 2}, (2, 4, 1)),
        ([node(8), node(8)], {"actors": 8}, (8, 2, 0)),
        ([node(8), node(8)], {"actors": 1}, (1, 8, 0)),
    ],
)
def test_a_gpu_has_an_encoder_else_a_machine(
    nodes: list[dict[str, Any]], options: dict[str, Any], expected: tuple[int, float, int]
) -> None:
    pool = pool_of(nodes, **{"gpus": True, **options})
    assert pool == expected
    assert pool.threads == max(1, int(expected[1]))


@pytest.mark.parametrize(
    ("nodes", "actors", "said"),
    [
        ([node(8, 2)], 3, "3 actors are asked for and the cluster has 2 GPUs"),
        ([node(2)], 3, "3 actors are asked for and the cluster has 2 cores"),
        ([node(0)], None, "no machine with a CPU"),
    ],
)
def test_more_encoders_than_there_is_room_for_are_refused(
    nodes: list[dict[str, Any]], actors: int | None, said: str
) -> None:
    with pytest.raises(ClusterError, match=said):
        pool_of(nodes, gpus=True, actors=actors)
