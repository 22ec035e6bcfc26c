"""The status port: health, metrics and status of all workers together."""

from collections.abc import AsyncIterator, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from enforcement_gateway.counters import Tally
from enforcement_gateway.data_port import reserved, tls_of
from enforcement_gateway.parent import Workers
from enforcement_gateway.reports import Report
from enforcement_gateway.settings import Settings
from tollgate.background import running
from tollgate.http.bodies import json_response
from tollgate.http.health import DRAINING, NO_STORE
from tollgate.http.request_ids import name_requests

WORKERS = web.AppKey("workers", Workers)

_TOTALS = {
    "requests": "Requests that arrived.",
    "admitted": "Requests let through because of their token.",
    "open": "Requests let through because their source has enforcement off.",
    "connections": "Connections that clients opened.",
    "connections_let_in": "Those of which a request was let in.",
    "connections_displaced": "Those closed for others, as nothing was let in of them.",
    "upstream_connections": "Connections opened to upstreams.",
    "confirmations": "Requests that waited for the logs to be read once more.",
    "body_bytes": "Octets of bodies that arrived in pieces.",
}
_LEVELS = {
    "connections_now": "Connections of clients that are open.",
    "demoted_connections_now": "Those heard after others, as they were refused.",
    "upstream_connections_now": "Connections to upstreams that are open.",
    "body_bytes_now": "Octets of unfinished bodies that are held.",
}
_BY_LABEL = {
    "denied": ("reason", "Requests refused, by reason."),
    "reported": ("reason", "Requests that `report` let through, by reason."),
    "answered": ("class", "Answers of upstreams, by class of status."),
}


def create_application(settings: Settings) -> web.Application:
    """What answers on the status port. The workers run as long as it does."""
    application = web.Application(middlewares=[name_requests])
    workers = Workers(settings.workers, drain_time=settings.drain_time)
    application[WORKERS] = workers

    async def run(_: web.Application) -> AsyncIterator[None]:
        tls_of(settings)
        with reserved(settings):
            async with running(workers.run()):
                yield

    application.cleanup_ctx.append(run)
    application.add_routes(
        [
            web.get("/livez", _livez, name="livez"),
            web.get("/readyz", _readyz, name="readyz"),
            web.get("/metrics", _metrics, name="metrics"),
            web.get("/status", _status, name="status"),
        ]
    )
    return application


async def _livez(_: web.Request) -> web.Response:
    return web.Response(text="ok\n", headers=NO_STORE)


async def _readyz(request: web.Request) -> web.Response:
    """503 before the first refusal for age, and while a worker is missing."""
    draining = request.app.get(DRAINING)
    if draining is not None and draining.begun:
        return web.Response(status=503, text="draining\n", headers=NO_STORE)
    if await request.app[WORKERS].is_ready():
        return web.Response(text="ok\n", headers=NO_STORE)
    return web.Response(status=503, text="not ready\n", headers=NO_STORE)


async def _status(request: web.Request) -> web.Response:
    """What every worker knows and how old it is; what `report` let through lately."""
    workers = request.app[WORKERS]
    reports = await workers.reports()
    return json_response(
        {
            "workers": [
                {"pid": each.pid, "listening": each.listening, "view": each.view}
                for each in reports
            ],
            "expected_workers": workers.count,
            "restarts": workers.restarts,
            "counters": workers.tally(),
            "would_be_denials": workers.samples(),
        },
        headers=NO_STORE,
    )


async def _metrics(request: web.Request) -> web.Response:
    workers = request.app[WORKERS]
    reports = await workers.reports()
    registry = CollectorRegistry()
    registry.register(_Sums(workers, reports))
    return web.Response(
        body=generate_latest(registry),
        headers={"Content-Type": CONTENT_TYPE_LATEST, **NO_STORE},
    )


class _Sums(Collector):
    """The workers' plain integers, as Prometheus wants them."""

    def __init__(self, workers: Workers, reports: list[Report]) -> None:
        self._workers = workers
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        tally = self._workers.tally()
        yield from _counts(tally)
        yield GaugeMetricFamily(
            "tollgate_gateway_workers", "Workers that answer.", len(self._reports)
        )
        yield CounterMetricFamily(
            "tollgate_gateway_worker_restarts",
            "Workers that ended by themselves.",
            self._workers.restarts,
        )
        age = GaugeMetricFamily(
            "tollgate_gateway_view_age_seconds",
            "Age of each log, in the worker where it is oldest.",
            labels=["log"],
        )
        position = GaugeMetricFamily(
            "tollgate_gateway_view_position",
            "Position of each log, in the worker that is furthest behind.",
            labels=["log"],
        )
        for log, (oldest, furthest) in _by_log(self._reports).items():
            age.add_metric([log], oldest)
            position.add_metric([log], furthest)
        yield age
        yield position


def _counts(tally: Tally) -> Iterator[Metric]:
    for name, about in _TOTALS.items():
        yield CounterMetricFamily(
            f"tollgate_gateway_{name}", about, getattr(tally, name)
        )
    for name, about in _LEVELS.items():
        yield GaugeMetricFamily(f"tollgate_gateway_{name}", about, getattr(tally, name))
    for name, (label, about) in _BY_LABEL.items():
        family = CounterMetricFamily(f"tollgate_gateway_{name}", about, labels=[label])
        for key, count in getattr(tally, name).items():
            family.add_metric([str(key)], count)
        yield family


def _by_log(reports: list[Report]) -> dict[str, tuple[float, int]]:
    found: dict[str, tuple[float, int]] = {}
    for report in reports:
        for each in report.view.logs:
            age = float("inf") if each.age is None else each.age
            oldest, furthest = found.get(each.log, (age, each.position))
            found[each.log] = (max(oldest, age), min(furthest, each.position))
    return found
