"""Runs an application until it is told to stop, and then lets it finish.

On SIGTERM or SIGINT the service first says that it is not ready, then (after
`drain_delay`) takes no more connections, answers what it has, and ends: in less than
half a minute, whatever its clients do. What has more to end than this server does so
in `before_end`, while health and metrics are still to be had.
"""

import asyncio
import logging
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import structlog
import uvloop
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError

from tollgate.garbage import settle
from tollgate.http.addresses import Network, client_address
from tollgate.http.front import FrontRunner
from tollgate.http.health import DRAINING, Draining
from tollgate.http.request_ids import request_id_of, was_named

PATIENCE = timedelta(seconds=8)
"""For requests that are being answered; after as long again they are cut off."""

MAX_DRAIN_DELAY = timedelta(seconds=10)

KEEP_ALIVE = timedelta(seconds=75)
LINGER = timedelta(seconds=5)
"""How long the rest of a refused body is read, so that the client sees the answer."""

ACCEPTED_AT_ONCE = 4
"""Connections in one turn of the loop. libuv takes one for each listening socket in it,
lest processes that share it starve each other; but clients that all come at once would
wait for as many turns as there are of them, and be overtaken by those who are there.
More would gain little, and who comes alone pays for each that finds nobody."""

_PROBES = frozenset({"livez", "readyz", "metrics"})

RECORDED = web.ResponseKey("recorded", bool)
"""Set on an answer whose request stands in an event log, with its id and the address of
its client: it needs no line here as well."""

logger = structlog.get_logger(__name__)


class CannotListen(Exception):
    """The address is taken, or not of this machine, or the certificate is no good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where to listen, and how. `trusted_proxies` are for the log alone."""

    host: str
    port: int
    tls_certificate: Path | None = None
    tls_private_key: Path | None = None
    trusted_proxies: Sequence[Network] = ()
    drain_delay: timedelta = timedelta(0)
    patience: timedelta = PATIENCE

    def __post_init__(self) -> None:
        """Raises `ValueError`, in words for the operator."""
        if (self.tls_certificate is None) != (self.tls_private_key is None):
            raise ValueError("TLS needs both a certificate and a private key")
        if not timedelta(0) <= self.drain_delay <= MAX_DRAIN_DELAY:
            seconds = MAX_DRAIN_DELAY.total_seconds()
            raise ValueError(f"drain_delay is at most {seconds:g} seconds")

    def tls(self) -> ssl.SSLContext | None:
        """TLS 1.2 or later, if there is a certificate."""
        if self.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.tls_certificate, self.tls_private_key)
        return context


async def _nothing() -> None:
    pass


def run_server(
    application: web.Application,
    listener: Listener,
    *,
    before_end: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Serve until a signal comes. For `__main__`: one line if it cannot listen.

    Raises what ended a loop that runs beside the application.
    """
    try:
        uvloop.run(serve(application, listener, before_end=before_end))
    except CannotListen as error:
        sys.exit(str(error))


async def serve(
    application: web.Application,
    listener: Listener,
    *,
    on_listening: Callable[[int], None] = lambda _: None,
    before_end: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """See the module. `on_listening` is told the port.

    Requests are logged by the names that `name_requests` gives them.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    draining = application[DRAINING] = Draining()
    application.on_response_prepare.append(_hide_versions)
    runner = FrontRunner(
        application,
        access_log_class=_access_log(listener.trusted_proxies),
        auto_decompress=False,  # nobody has asked for an inflated body yet
        keepalive_timeout=KEEP_ALIVE.total_seconds(),
        lingering_time=LINGER.total_seconds(),
        logger=_logger_of_connections(),
        shutdown_timeout=listener.patience.total_seconds(),
    )
    try:
        if await _unless(stop, runner.setup()):
            on_listening(await _listen(runner, listener))
            settle()
            await stop.wait()
            draining.begun = True
            logger.info("draining")
            await asyncio.sleep(listener.drain_delay.total_seconds())
            await before_end()
    finally:
        await runner.cleanup()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    logger.info("stopped")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`, but give it up if told to stop; whether it was done."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        return False
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait({working, stopping})


async def _listen(runner: web.AppRunner, listener: Listener) -> int:
    place = f"{listener.host}:{listener.port}"
    try:
        tls = listener.tls()
        site = web.TCPSite(runner, listener.host, listener.port, ssl_context=tls)
        await site.start()
        bound = cast(asyncio.Server, site._server).sockets  # noqa: SLF001 - no other way
        for each in bound:
            for _ in range(ACCEPTED_AT_ONCE - 1):
                await web.SockSite(runner, each.dup(), ssl_context=tls).start()
    except ssl.SSLError as error:
        raise CannotListen(f"the certificate cannot be used: {error.reason}") from None
    except OSError as error:
        raise CannotListen(f"cannot listen on {place}: {error.strerror}") from None
    port: int = runner.addresses[0][1]
    logger.info("listening", host=listener.host, port=port)
    return port


async def _hide_versions(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "tollgate"


def _access_log(trusted: Sequence[Network]) -> type[AbstractAccessLogger]:
    class AccessLog(AbstractAccessLogger):
        """One line a request, with the pattern of its route and never its path.

        A path may hold a write key, and a query whatever somebody puts into it. What is
        `RECORDED` already has no line.
        """

        def log(
            self,
            request: web.BaseRequest,
            response: web.StreamResponse,
            time: float,
        ) -> None:
            if RECORDED in response:
                return
            if not isinstance(request, web.Request) or not was_named(request):
                # No HTTP: it came from the peer itself, and has no header to look at.
                logger.info(
                    "request malformed", status=response.status, client=request.remote
                )
                return
            route = request.match_info.route
            if route.name in _PROBES:
                return
            logger.info(
                "request answered",
                method=request.method if request.method in _METHODS else "other",
                route="unknown" if route.resource is None else route.resource.canonical,
                status=response.status,
                milliseconds=round(time * 1000, 1),
                bytes=response.body_length,
                client=client_address(
                    request.remote,
                    request.headers.getall("X-Forwarded-For", ()),
                    trusted,
                ),
                request_id=request_id_of(request),
            )

    return AccessLog


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _logger_of_connections() -> logging.Logger:
    """What aiohttp has to say of connections, without what strangers send to ports."""
    connections = logging.getLogger(f"{__name__}.connections")
    connections.addFilter(_is_our_fault)
    return connections


def _is_our_fault(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
