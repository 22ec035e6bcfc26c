"""Logs as the service that owns them has them, and its feed on a port."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from aiohttp import web
from prometheus_client import CollectorRegistry

from tollgate.background import running
from tollgate.database import connect, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.messaging.feed import Feed, FeedReader
from tollgate.messaging.metrics import FeedMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.source import LocalSource
from tollgate.migrations import event_log_migrations, migrate
from tollgate.settings import Secret

MAX_AGE = timedelta(minutes=5)


class OwnedLogs:
    """Logs by name, and what tells of their appends."""

    def __init__(
        self, logs: Mapping[str, EventLog], notifications: Notifications
    ) -> None:
        self.logs = logs
        self.notifications = notifications

    def feed_for(
        self, name: str, secret: Secret, *, whole: bool = False, max_age: timedelta
    ) -> Feed:
        """All the logs, for the one reader of that name."""
        reader = FeedReader(
            name=name, secrets=(secret,), logs=frozenset(self.logs), whole=whole
        )
        sources = [
            LocalSource(log, self.notifications, max_age=max_age)
            for log in self.logs.values()
        ]
        return Feed(sources, [reader], metrics=FeedMetrics(CollectorRegistry()))


@asynccontextmanager
async def owned_logs(database_url: str, *names: str) -> AsyncIterator[OwnedLogs]:
    """Empty logs in the owner's database."""
    connection = await connect(database_url, application_name="owner of logs")
    try:
        for name in names:
            await migrate(connection, name, event_log_migrations())
    finally:
        await connection.close()
    notifications = Notifications(database_url, names)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(database_url, application_name="owner of logs")
        )
        logs = {
            name: await stack.enter_async_context(
                open_event_log(name, pool, database_url)
            )
            for name in names
        }
        await stack.enter_async_context(running(notifications.run()))
        yield OwnedLogs(logs, notifications)


class OnAPort:
    """What serves routes on a port of its own, which it keeps when it is stopped."""

    def __init__(self, routes: Iterable[web.AbstractRouteDef]) -> None:
        self._routes = list(routes)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        application = web.Application()
        application.add_routes(self._routes)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
