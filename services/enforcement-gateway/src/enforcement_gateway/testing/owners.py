"""Whoever owns the two logs: real ones, with their feeds and their relays."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web
from prometheus_client import CollectorRegistry

from enforcement_gateway.testing import facts
from enforcement_gateway.testing.facts import App, Source
from tollgate.background import running
from tollgate.database import connect, open_pool
from tollgate.eventlog import AppendGroup, EventLog, open_event_log
from tollgate.events.registry import Enforcement
from tollgate.messaging.broker import Broker
from tollgate.messaging.feed import Feed, FeedReader
from tollgate.messaging.metrics import FeedMetrics, RelayMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.relay import Relay
from tollgate.messaging.source import LocalSource
from tollgate.migrations import event_log_migrations, migrate
from tollgate.settings import Secret
from tollgate.testing.keys import signing_key
from tollgate.testing.scenario import Fact

REGISTRY, TOKENS = "registry", "tokens"
SERVICES = {REGISTRY: "app-registry", TOKENS: "token-issuer"}
"""Who owns which log, and so publishes it under its own account."""


class Owners:
    """The app-registry and the token-issuer, as far as a gateway hears of them.

    Their feeds share a port and can be stopped, as if both services were.
    """

    secret = Secret("the-gateways-own-credential")

    def __init__(self, registry: EventLog, tokens: EventLog, feed: Feed) -> None:
        self.signing_key = signing_key()
        self.feed = feed
        self._logs = {REGISTRY: registry, TOKENS: tokens}
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        application = web.Application()
        application.add_routes(self.feed.routes())
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def record(self, log: str, *given: list[Fact]) -> int:
        """Append all of it at once; the position of the last."""
        events = [fact for group in given for fact in group]
        appended = await self._logs[log].append(AppendGroup(events=events))
        return appended.last or 0

    async def add_app(self) -> App:
        app = facts.new_app()
        await self.record(REGISTRY, facts.app_created(app))
        return app

    async def add_source(
        self, mode: Enforcement = Enforcement.OFF, app: App | None = None
    ) -> Source:
        source = facts.new_source()
        await self.record(REGISTRY, facts.source_created(source, mode, app))
        return source

    def token_of(self, app: App, **claims: object) -> str:
        return facts.minted(app, self.signing_key, **claims)  # type: ignore[arg-type]


@asynccontextmanager
async def owners_of(
    database_url: str,
    *,
    max_age: timedelta = timedelta(minutes=5),
    amqp_url_of: Callable[[str], str] | None = None,
) -> AsyncIterator[Owners]:
    """Empty logs but for a signing key, in the owner's database; serving.

    `amqp_url_of` gives the broker's URL for a service; without it nothing is relayed.
    """
    connection = await connect(database_url, application_name="owners")
    try:
        for log in (REGISTRY, TOKENS):
            await migrate(connection, log, event_log_migrations())
    finally:
        await connection.close()
    notifications = Notifications(database_url, [REGISTRY, TOKENS])
    async with (
        open_pool(database_url, application_name="owners") as pool,
        open_event_log(REGISTRY, pool, database_url) as registry,
        open_event_log(TOKENS, pool, database_url) as tokens,
        running(notifications.run()),
    ):
        reader = FeedReader(
            name="enforcement-gateway",
            secrets=(Owners.secret,),
            logs=frozenset({REGISTRY, TOKENS}),
        )
        sources = [
            LocalSource(log, notifications, max_age=max_age)
            for log in (registry, tokens)
        ]
        feed = Feed(sources, [reader], metrics=FeedMetrics(CollectorRegistry()))
        relays = [
            Relay(
                log,
                database_url,
                notifications,
                Broker(Secret(amqp_url_of(service)), service=service),
                metrics=RelayMetrics(CollectorRegistry()),
            ).run()
            for log, service in zip((registry, tokens), SERVICES.values(), strict=True)
            if amqp_url_of is not None
        ]
        owners = Owners(registry, tokens, feed)
        await owners.record(TOKENS, facts.signing_key_announced(owners.signing_key))
        await owners.start()
        try:
            async with running(*relays):
                yield owners
        finally:
            notifications.close()
            await owners.stop()
