"""One worker: a view of the two logs, and the data port.

`python -m enforcement_gateway worker` is started by the parent, with a socket to it as
file descriptor `CONTROL_FD`. It drains when told to stop, and when the parent is gone.
"""

import asyncio
import os
import resource
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import structlog
from prometheus_client import CollectorRegistry

from enforcement_gateway.counters import Counters
from enforcement_gateway.data_port import bind, tls_of
from enforcement_gateway.gate import Gate
from enforcement_gateway.http.listening import serve
from enforcement_gateway.http.protocol import IS_COMPILED
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.server import Behind, Limits, Server
from enforcement_gateway.memory import keep_freed_memory
from enforcement_gateway.reports import Report, encode_report
from enforcement_gateway.settings import Settings
from enforcement_gateway.sockets.listener import Listener
from enforcement_gateway.sockets.loop import Loop, running_loop
from enforcement_gateway.upstream.forwarding import UpstreamAuthorization
from enforcement_gateway.upstream.pool import Origin, Pool
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import SubscribedView
from tollgate.background import running
from tollgate.garbage import settle
from tollgate.messaging.broker import Broker
from tollgate.messaging.feed_client import FeedClient
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.push import Push
from tollgate.messaging.subscription import Subscription
from tollgate.projections.huge_pages import stay_on_huge_pages
from tollgate.projections.snapshot import SnapshotFile
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret
from tollgate.tokens.state import TokensState

SERVICE = "enforcement-gateway"

CONTROL_FD = "ENFORCEMENT_GATEWAY_CONTROL_FD"
"""Which descriptor leads to the parent. Not a setting: the parent says it."""

BACKLOG = 4096
HAND_OVER_SECONDS = 0.1

OWN_DESCRIPTORS = 64
"""What a worker needs beside connections of clients and to upstreams."""

logger = structlog.get_logger(__name__)


def run_worker(settings: Settings, *, control_fd: int, writes_snapshot: bool) -> None:
    """Serve until told to stop."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    keep_freed_memory()
    counters = Counters()
    with asyncio.Runner(loop_factory=lambda: Loop(lambda: counters.let_in)) as runner:
        runner.run(
            _serve(settings, counters, control_fd, writes_snapshot=writes_snapshot)
        )


async def _serve(
    settings: Settings, counters: Counters, control_fd: int, *, writes_snapshot: bool
) -> None:
    stopping = asyncio.Event()
    loop = running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        view = open_view(settings, session)
        loops = [view.logs.run(), stay_on_huge_pages()]
        if settings.snapshot_path is not None:
            snapshot = SnapshotFile(settings.snapshot_path, view.logs.subscriptions)
            await snapshot.restore()
            if writes_snapshot:
                loops.append(snapshot.run())
        broker = Broker(settings.amqp_url, service=SERVICE)
        loops += [Push(broker, each).run() for each in view.logs.subscriptions]
        server = make_server(settings, view, counters)
        await stack.enter_async_context(running(*loops, on_failure=stopping.set))
        settle()
        listener = listen(settings, server)
        logger.info(
            "listening",
            host=settings.host,
            port=settings.port,
            compiled=IS_COMPILED,
        )
        control = asyncio.create_task(
            _answer_parent(
                control_fd,
                lambda asked: _report(
                    asked, view, counters, listening=not stopping.is_set()
                ),
                stopping,
            )
        )
        await stopping.wait()
        await close_listener(listener)
        await server.drain(settings.drain_time)
        control.cancel()
    logger.info("stopped")


def open_view(settings: Settings, session: aiohttp.ClientSession) -> SubscribedView:
    """The registry and tokens logs, as a gateway may see them."""
    instance = f"{SERVICE}-{secrets.token_hex(4)}"
    metrics = SubscriptionMetrics(CollectorRegistry())

    def feed(url: str, log: str, secret: Secret) -> FeedClient:
        return FeedClient(session, url, log, secret=secret, instance=instance)

    return SubscribedView(
        Subscription(
            feed(
                settings.registry_url, RegistryState.LOG, settings.registry_feed_secret
            ),
            RegistryState,
            metrics=metrics,
            max_age=settings.max_age,
        ),
        Subscription(
            feed(settings.issuer_url, TokensState.LOG, settings.issuer_feed_secret),
            TokensState,
            metrics=metrics,
            max_age=settings.max_age,
        ),
        settings.confirmation_timeout,
    )


def make_server(settings: Settings, view: SubscribedView, counters: Counters) -> Server:
    """The data port, without its socket."""
    gate = Gate(
        view,
        Verifier(
            settings.issuer,
            settings.remembered_tokens,
            frozenset(settings.audiences.values()),
        ),
        counters,
        audiences=settings.audiences,
        admit_unknown=settings.admit_unknown_write_keys,
    )
    return Server(
        gate,
        counters,
        _ways_behind(settings, counters),
        limits=Limits(
            connections=min(settings.client_connections, 2 * _descriptors() // 3)
        ),
        admin_prefix=settings.admin_prefix.encode() if settings.admin_url else None,
        trusted_proxies=settings.proxies,
    )


def _ways_behind(settings: Settings, counters: Counters) -> dict[Door, Behind]:
    tracking = Behind(
        _pool(settings, settings.upstream_url, counters),
        settings.upstream_authorization,
    )
    functions = tracking.pool
    if settings.functions_url is not None:
        functions = _pool(settings, settings.functions_url, counters)
    behind = {
        Door.TRACKING: tracking,
        Door.PIXEL: tracking,
        Door.FUNCTION: Behind(functions, UpstreamAuthorization.NONE),
    }
    if settings.admin_url is not None:
        behind[Door.ADMIN] = Behind(
            _pool(settings, settings.admin_url, counters),
            UpstreamAuthorization.BEARER,  # the admin API asks for it itself
            settings.admin_prefix.encode(),
        )
    return behind


def _pool(settings: Settings, url: str, counters: Counters) -> Pool:
    origin = Origin.of(url)
    return Pool(
        origin,
        counters,
        max_connections=min(settings.upstream_connections, _descriptors() // 3),
        connect_timeout=settings.upstream_connect_timeout.total_seconds(),
        answer_timeout=settings.upstream_timeout.total_seconds(),
        tls=ssl.create_default_context() if origin.is_https else None,
    )


def _descriptors() -> int:
    """How many files this process may have open for connections (RLIMIT_NOFILE).

    With fewer than are asked for, new connections are refused in order, instead of
    those that exist failing at random.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(soft - OWN_DESCRIPTORS, OWN_DESCRIPTORS)


def listen(settings: Settings, server: Server) -> Listener:
    """Open the data port, shared with the other workers by SO_REUSEPORT."""
    tls = tls_of(settings)
    sockets = bind(settings, shared=True)
    for each in sockets:
        each.listen(BACKLOG)
    return serve(server, sockets, tls)


async def close_listener(listener: Listener) -> None:
    """Take no more connections, but those that the kernel has accepted for us.

    It resets them when the socket is closed. So first it is told to accept no more,
    which has clients try again elsewhere, and given a moment to hand over the rest.
    """
    for ours in listener.sockets:
        with socket.socket(fileno=os.dup(ours.fileno())) as same:
            same.listen(0)
    await asyncio.sleep(HAND_OVER_SECONDS)
    listener.close()


def _report(
    asked: int, view: SubscribedView, counters: Counters, *, listening: bool
) -> Report:
    return Report(
        asked=asked,
        pid=os.getpid(),
        compiled=IS_COMPILED,
        listening=listening,
        tally=counters.tally(),
        view=view.logs.status(),
        samples=list(counters.samples),
    )


async def _answer_parent(
    control_fd: int, report: Callable[[int], Report], stopping: asyncio.Event
) -> None:
    """A line for each line, until the parent is gone: then nobody watches us."""
    reader, writer = await asyncio.open_connection(
        sock=socket.socket(fileno=control_fd)
    )
    try:
        while line := await reader.readline():
            writer.write(encode_report(report(int(line))))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        stopping.set()
        writer.close()
