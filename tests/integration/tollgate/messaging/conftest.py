"""A log with its relay and its followers, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

import pytest
from prometheus_client import CollectorRegistry

from local_stack.rabbitmq import RabbitMQ
from local_stack.testing import VirtualHost
from tollgate.background import running
from tollgate.database import open_pool
from tollgate.eventlog import AppendGroup, EventLog, open_event_log
from tollgate.events.registry import OAuthAppCreated, OAuthAppRenamed
from tollgate.messaging.broker import Broker
from tollgate.messaging.metrics import RelayMetrics, SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.push import Push
from tollgate.messaging.relay import Relay
from tollgate.messaging.source import LocalSource, LogSource
from tollgate.messaging.subscription import Subscription
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret

OWNER = "app-registry"
READER = "enforcement-gateway"
CREATED = OAuthAppCreated(
    workspace_id="ws_1", name="web", token_lifetime=86_400, scopes=()
)

UrlOf: TypeAlias = Callable[[str], str]
"""The AMQP URL of a service's account."""


class Counted:
    """Metrics of one relay or follower."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def value(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(name, {"log": "registry", **labels})
        return found or 0.0


class Follower(Counted):
    """A subscription with its push."""

    def __init__(
        self, source: LogSource, poll_interval: timedelta = timedelta(seconds=1)
    ) -> None:
        super().__init__()
        self.subscription = Subscription(
            source,
            RegistryState,
            metrics=SubscriptionMetrics(self.registry),
            poll_interval=poll_interval,
        )

    @property
    def pushed(self) -> bool:
        return self.subscription.status().pushed

    @property
    def from_broker(self) -> float:
        return self.value("tollgate_log_events_applied_total", way="broker")


class World:
    """One registry log and whoever lives by it; `url_of` says as whom to the broker."""

    def __init__(self, database_url: str, log: EventLog, url_of: UrlOf) -> None:
        self.database_url = database_url
        self.log = log
        self.url_of = url_of
        self.notifications = Notifications(database_url, ["registry"])
        self._number = 0

    @property
    def source(self) -> LocalSource:
        return LocalSource(self.log, self.notifications, max_age=timedelta(seconds=300))

    def broker(self, service: str) -> Broker:
        return Broker(Secret(self.url_of(service)), service=service)

    @asynccontextmanager
    async def relay(self) -> AsyncIterator[Counted]:
        counted = Counted()
        relay = Relay(
            self.log,
            self.database_url,
            self.notifications,
            self.broker(OWNER),
            metrics=RelayMetrics(counted.registry),
        )
        async with running(relay.run()):
            yield counted

    @asynccontextmanager
    async def follower(
        self,
        *,
        source: LogSource | None = None,
        poll_interval: timedelta = timedelta(seconds=1),
        broker: bool = True,
    ) -> AsyncIterator[Follower]:
        follower = Follower(source or self.source, poll_interval)
        loops = [follower.subscription.run()]
        if broker:
            loops.append(Push(self.broker(READER), follower.subscription).run())
        async with running(*loops):
            yield follower

    async def append(self, count: int) -> None:
        """`count` events, one a call, on the streams of a few apps."""
        for _ in range(count):
            stream = f"oauth_app-app_{self._number % 5}"
            fact = (
                CREATED
                if self._number < 5
                else OAuthAppRenamed(name=f"name {self._number}")
            )
            self._number += 1
            await self.log.append(AppendGroup(events=[(stream, fact)]))

    async def append_until_pushed(self, follower: "Follower") -> int:
        """Append until the broker brings something; the head of the log then."""
        before = follower.from_broker
        async with asyncio.timeout(30):
            while follower.from_broker == before:
                await self.append(1)
        return (await self.log.head()).position

    async def append_at_once(self, count: int) -> None:
        """`count` events in as few calls as possible."""
        events = [
            ("oauth_app-app_bulk", OAuthAppRenamed(name=f"bulk {number}"))
            for number in range(count)
        ]
        events[0] = ("oauth_app-app_bulk", CREATED)  # type: ignore[assignment]
        for start in range(0, count, 1000):
            await self.log.append(AppendGroup(events=events[start : start + 1000]))

    async def fold(self) -> bytes:
        state = RegistryState()
        async for page in self.log.pages():
            for recorded in page:
                state.apply(recorded)
        return state.dump()

    async def checkpoint(self) -> int:
        async with open_pool(self.database_url, application_name="test") as pool:
            found = await pool.fetchval("SELECT position FROM registry.checkpoints")
        return int(found or 0)


@asynccontextmanager
async def open_world(database_url: str, url_of: UrlOf) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(database_url, application_name="test")
        )
        log = await stack.enter_async_context(
            open_event_log("registry", pool, database_url)
        )
        world = World(database_url, log, url_of)
        await stack.enter_async_context(running(world.notifications.run()))
        before = len(asyncio.all_tasks())
        yield world
    assert len(asyncio.all_tasks()) <= before, "a task has lost its owner"


@pytest.fixture
async def world(database_url: str, virtual_host: VirtualHost) -> AsyncIterator[World]:
    async with open_world(database_url, virtual_host.url_of) as made:
        yield made


@pytest.fixture
async def breakable(
    database_url: str, private_rabbitmq: RabbitMQ
) -> AsyncIterator[World]:
    """The same with a broker that may be killed."""
    async with open_world(database_url, private_rabbitmq.url_of) as made:
        yield made
