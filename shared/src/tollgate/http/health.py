"""/livez, /readyz and /metrics.

Alive is a process that answers. Ready is one that can answer truly: `/readyz` says
503 before the first request is refused for want of knowledge, and before the last one
is taken, so that a load balancer turns elsewhere in time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

NO_STORE = {"Cache-Control": "no-store"}


@dataclass(slots=True)
class Draining:
    """Whether the server has been told to stop. It is set once, by the server."""

    begun: bool = False


DRAINING = web.AppKey("draining", Draining)


@dataclass(frozen=True, slots=True)
class Health:
    """`is_ready` is asked at every request to /readyz."""

    is_ready: Callable[[], bool]
    metrics: CollectorRegistry

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/livez", self.livez, name="livez"),
            web.get("/readyz", self.readyz, name="readyz"),
            web.get("/metrics", self.show_metrics, name="metrics"),
        ]

    async def livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=NO_STORE)

    async def readyz(self, request: web.Request) -> web.Response:
        draining = request.app.get(DRAINING)
        if draining is not None and draining.begun:
            return web.Response(status=503, text="draining\n", headers=NO_STORE)
        if self.is_ready():
            return web.Response(text="ok\n", headers=NO_STORE)
        return web.Response(status=503, text="not ready\n", headers=NO_STORE)

    async def show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self.metrics),
            headers={"Content-Type": CONTENT_TYPE_LATEST, **NO_STORE},
        )
