"""`GET /metrics` counts what was asked, however many processes answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from search.collection import Collection
from search.searcher import Searcher
from search.settings import PROJECT
from search.timing import Stage
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.app import create_app
from web.current import library_of


@pytest.fixture
def client(collection: Collection, encoder: ColorEncoder, photos: Path, index: Build) -> FlaskClient:
    (photos / "red.txt").write_text("a red wall")
    (photos / "broken.png").write_bytes(b"no picture")
    index(photos)
    return create_app([collection], lambda _model: encoder).test_client()


def numbers(client: FlaskClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return read(answer.get_data(as_text=True))


def read(text: str) -> dict[tuple[str, ...], float]:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_requests_are_counted_by_endpoint_method_and_status(client: FlaskClient) -> None:
    for url in ("/api/v1/search?q=red", "/api/v1/search?q=blue", "/api/v1/search?q=", "/nothing"):
        client.get(url)
    client.open("/api/v1/search", method="FROB")
    seen = numbers(client)
    assert seen["image_search_requests_total", "api.search", "GET", "200"] == 2
    assert seen["image_search_requests_total", "api.search", "GET", "400"] == 1
    assert seen["image_search_requests_total", "none", "GET", "404"] == 1
    assert seen["image_search_requests_total", "none", "other", "405"] == 1
    assert seen["image_search_request_seconds_count", "api.search"] == 3


def test_a_fault_is_counted_too(collection: Collection) -> None:
    def load(_model: str) -> ColorEncoder:
        raise ZeroDivisionError

    client = create_app([collection], load).test_client()
    client.get("/api/v1/search?q=red")
    assert numbers(client)["image_search_requests_total", "api.search", "GET", "500"] == 1


def test_every_stage_of_a_search_is_timed(client: FlaskClient) -> None:
    client.get("/api/v1/search?q=red")
    client.get("/api/v1/images/1/similar")
    seen = numbers(client)
    counts = {stage: seen["image_search_stage_seconds_count", stage] for stage in ("encode", "index", "hydrate")}
    assert counts == {"encode": 1, "index": 2, "hydrate": 2}


def test_a_searcher_tells_its_stages_in_their_order(
    collection: Collection, encoder: ColorEncoder, photos: Path, index: Build
) -> None:
    index(photos)
    told: list[tuple[Stage, float]] = []
    searcher = Searcher(collection, lambda: encoder, observe=lambda stage, seconds: told.append((stage, seconds)))
    searcher.by_image(photos / "red.png")
    assert [stage for stage, _ in told] == ["encode", "index", "hydrate"]
    assert all(seconds > 0 for _, seconds in told)


def test_the_collections_are_shown_as_they_are(client: FlaskClient) -> None:
    seen = numbers(client)
    assert {what: seen[f"image_search_{what}", "collection"] for what in ("images", "texts", "failures")} == {
        "images": 3,
        "texts": 1,
        "failures": 1,
    }
    assert seen["image_search_generation", "collection"] == 1
    assert seen[("image_search_ready",)] == 0
    library_of(client.application).warm()
    assert numbers(client)[("image_search_ready",)] == 1


WORKERS = """
import os, sys
from pathlib import Path

from web.metrics import share

share(Path(sys.argv[1]))
from search.collection import Collection
from tests.colors import ColorEncoder
from web.app import create_app

encoder = ColorEncoder()
for _ in range(2):
    if not (pid := os.fork()):
        client = create_app([Collection.open(Path(sys.argv[2]))], lambda _model: encoder).test_client()
        client.get("/api/v1/search?q=red")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
client = create_app([Collection.open(Path(sys.argv[2]))], lambda _model: encoder).test_client()
print(client.get("/metrics").get_data(as_text=True))
"""


def test_several_processes_count_together(collection: Collection, tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "counter_1.db").write_bytes(b"of an earlier run")
    words = [sys.executable, "-c", WORKERS, str(tmp_path / "metrics"), str(collection.directory)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    seen = read(done.stdout)
    assert seen["image_search_requests_total", "api.search", "GET", "200"] == 2
    assert seen["image_search_stage_seconds_count", "encode"] == 2
    assert seen["image_search_images", "collection"] == 0
