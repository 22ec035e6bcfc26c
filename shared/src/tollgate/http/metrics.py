"""What every HTTP server counts: requests by route and status, and how long they took.

The route is the pattern, never the path: a path holds ids, of which there is no end.
"""

import time
from functools import cache

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


def process_metrics() -> CollectorRegistry:
    """A registry of its own for one application, with the metrics of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class RequestMetrics:
    """Registers its metrics once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "tollgate_http_requests",
            "Requests answered, by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        seconds = Histogram(
            "tollgate_http_request_seconds",
            "Seconds from the head of a request to the end of its handler, by route.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        # Finding the child of some labels costs more than counting with it. There are
        # as many to remember as the metrics themselves hold.
        self._requests_of, self._seconds_of = (
            cache(requests.labels),
            cache(seconds.labels),
        )

    def count(self, route: str, method: str, status: str, started: float) -> None:
        """One more was answered, just now; `started` by `time.perf_counter`."""
        self._requests_of(route, method, status).inc()
        self._seconds_of(route).observe(time.perf_counter() - started)

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
