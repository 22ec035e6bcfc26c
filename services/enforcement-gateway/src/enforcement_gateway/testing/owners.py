"""Whoever owns the two logs: real ones, with their feeds and their relays."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from prometheus_client import CollectorRegistry

from enforcement_gateway.testing import facts
from enforcement_gateway.testing.facts import App, Source
from tollgate.background import running
from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events.registry import Enforcement
from tollgate.messaging.broker import Broker
from tollgate.messaging.feed import Feed
from tollgate.messaging.metrics import RelayMetrics
from tollgate.messaging.relay import Relay
from tollgate.settings import Secret
from tollgate.testing.keys import signing_key
from tollgate.testing.owned_logs import MAX_AGE, OnAPort, owned_logs
from tollgate.testing.scenario import Fact

REGISTRY, TOKENS = "registry", "tokens"
SERVICES = {REGISTRY: "app-registry", TOKENS: "token-issuer"}
"""Who owns which log, and so publishes it under its own account."""


class Owners(OnAPort):
    """The app-registry and the token-issuer, as far as a gateway hears of them.

    Their feeds share a port and can be stopped, as if both services were.
    """

    secret = Secret("the-gateways-own-credential")

    def __init__(self, logs: Mapping[str, EventLog], feed: Feed) -> None:
        super().__init__(feed.routes())
        self.signing_key = signing_key()
        self.feed = feed
        self._logs = logs

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
    max_age: timedelta = MAX_AGE,
    amqp_url_of: Callable[[str], str] | None = None,
) -> AsyncIterator[Owners]:
    """Empty logs but for a signing key, in the owner's database; serving.

    `amqp_url_of` gives the broker's URL for a service; without it nothing is relayed.
    """
    async with owned_logs(database_url, REGISTRY, TOKENS) as owned:
        relays = [
            Relay(
                log,
                database_url,
                owned.notifications,
                Broker(Secret(amqp_url_of(SERVICES[name])), service=SERVICES[name]),
                metrics=RelayMetrics(CollectorRegistry()),
            ).run()
            for name, log in owned.logs.items()
            if amqp_url_of is not None
        ]
        feed = owned.feed_for("enforcement-gateway", Owners.secret, max_age=max_age)
        owners = Owners(owned.logs, feed)
        await owners.record(TOKENS, facts.signing_key_announced(owners.signing_key))
        await owners.start()
        try:
            async with running(*relays):
                yield owners
        finally:
            owned.notifications.close()
            await owners.stop()
