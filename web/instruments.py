"""Requests and searches -> counters and histograms, read in Prometheus's format under /metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from search.timing import Stage
from web.current import library_of
from web.deadline import check
from web.library import Library
from web.metrics import shared

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of the histograms, in seconds."""

_MEANINGS = {
    "images": "Images of the collection.",
    "texts": "Captions of the collection.",
    "failures": "Files that could not be read.",
    "generation": "Publications of the index.",
}

_METHODS = {"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"}


class Instruments:
    """The numbers of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "image_search_requests",
            "Requests answered.",
            ["endpoint", "method", "status"],
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "image_search_request_seconds",
            "Time from a request's headers to its answer.",
            ["endpoint"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._stage_seconds = Histogram(
            "image_search_stage_seconds",
            "Time of the stages of searches: encode, index, hydrate.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        """Raises ServiceUnavailable where the request has no time left for the next stage."""
        self._stage_seconds.labels(stage).observe(seconds)
        check()

    def register(self, app: Flask) -> None:
        """Count the requests of `app` and answer /metrics. Before other hooks: what they do takes time too."""
        app.before_request(_start)
        app.after_request(self._count)
        app.add_url_rule("/metrics", "metrics", self._answer)

    def _count(self, response: Response) -> Response:
        endpoint = request.endpoint or "none"
        method = request.method if request.method in _METHODS else "other"
        self._requests.labels(endpoint, method, response.status_code).inc()
        self._request_seconds.labels(endpoint).observe(time.perf_counter() - g.started)
        return response

    def _answer(self) -> Response:
        registry = CollectorRegistry()
        registry.register(_OfLibrary(library_of()))
        if shared():
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry.register(self._registry)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _OfLibrary(Collector):
    """What the collections are now. `ready` is that of the process that answers."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def collect(self) -> Iterator[GaugeMetricFamily]:
        meaning = "Whether the models are loaded and a query is answered at once."
        yield GaugeMetricFamily("image_search_ready", meaning, value=self._library.ready)
        numbers = {
            name: {**shelf.catalog.counts(), "generation": shelf.catalog.state().generation}
            for name, shelf in self._library.shelves.items()
        }
        for what, meaning in _MEANINGS.items():
            family = GaugeMetricFamily(f"image_search_{what}", meaning, labels=["collection"])
            for name, values in numbers.items():
                family.add_metric([name], values[what])
            yield family


def _start() -> None:
    g.started = time.perf_counter()
