"""What every HTTP server counts: requests by route and status, and how long they took.

The route is the pattern, never the path: a path holds ids, of which there is no end.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_BOUNDS = [*map(str, BUCKETS), "+Inf"]
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


def process_metrics() -> CollectorRegistry:
    """A registry of its own for one application, with the metrics of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class _Took:
    """How long requests of one route took: how many in each bucket, and together."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class RequestMetrics(Collector):
    """Plain numbers until somebody asks: they are counted far more often than read.

    One for a process and its `registry`; the event loop alone counts with it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answered: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._took: defaultdict[str, _Took] = defaultdict(_Took)
        registry.register(self)

    def count(self, route: str, method: str, status: str, started: float) -> None:
        """One more was answered, just now; `started` by `time.perf_counter`."""
        self.count_all(route, method, status, (started,))

    def count_all(
        self, route: str, method: str, status: str, started: Sequence[float]
    ) -> None:
        """As `count`, of all that were answered together."""
        self._answered[route, method, status] += len(started)
        took, now = self._took[route], time.perf_counter()
        counts = took.counts
        for each in started:
            counts[bisect_left(BUCKETS, now - each)] += 1
        took.seconds += len(started) * now - sum(started)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "tollgate_http_requests",
            "Requests answered, by route, method and status.",
            labels=("route", "method", "status"),
        )
        for labels, count in self._answered.items():
            requests.add_metric(labels, count)
        yield requests
        seconds = HistogramMetricFamily(
            "tollgate_http_request_seconds",
            "Seconds from the head of a request to the end of its handler, by route.",
            labels=("route",),
        )
        for route, took in self._took.items():
            up_to = accumulate(took.counts)
            seconds.add_metric(
                (route,), list(zip(_BOUNDS, up_to, strict=True)), took.seconds
            )
        yield seconds

    def middleware(self) -> Middleware:
        """Goes outside of the middleware that turns errors into answers."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = time.perf_counter()
            resource = request.match_info.route.resource
            route = "unknown" if resource is None else resource.canonical
            method = request.method if request.method in _KNOWN_METHODS else "other"
            status = "cancelled"
            try:
                response = await handler(request)
                status = str(response.status)
                return response
            finally:
                self.count(route, method, status, started)

        return count


def count_requests(registry: CollectorRegistry) -> Middleware:
    """For an application all of whose requests pass its middlewares."""
    return RequestMetrics(registry).middleware()
