"""Sends a log through the broker, and says how long that took.

`python -m bench.broker.flow DATABASE_URL RELAY_URL READER_URL EVENTS BATCH`: the log
holds so many events, none of them relayed yet. Prints one `Flow`.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from tollgate.background import running
from tollgate.database import connect, open_pool
from tollgate.eventlog import open_event_log
from tollgate.eventlog.chain import genesis
from tollgate.messaging.broker import Broker
from tollgate.messaging.metrics import RelayMetrics, SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.push import Push
from tollgate.messaging.relay import Relay
from tollgate.messaging.source import LogHead, Page
from tollgate.messaging.subscription import Subscription
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret

LOG = RegistryState.LOG
PATIENCE = 60.0
GLANCE = 0.001
"""Seconds between looks at how far it is."""


class Flow(msgspec.Struct, frozen=True):
    """Seconds until the relay had every confirm, and until the last was applied."""

    relayed: float
    applied: float


class EmptyFeed:
    """Says that there is nothing to read: whatever comes, the broker brings."""

    log = LOG
    whole = False

    async def read_after(
        self,
        position: int,
        last: bytes | None,
        *,
        limit: int,
        wait: timedelta = timedelta(0),
    ) -> Page:
        del position, last, limit
        await asyncio.sleep(wait.total_seconds())
        return Page((), LogHead(0, genesis(LOG)), timedelta(hours=1))


async def measure(
    database_url: str, relay_url: str, reader_url: str, events: int, batch: int
) -> Flow:
    connection = await connect(database_url, application_name="flow")
    await connection.execute(f"TRUNCATE {LOG}.checkpoints")
    await connection.close()
    metrics = CollectorRegistry()
    subscription = Subscription(
        EmptyFeed(),
        RegistryState,
        metrics=SubscriptionMetrics(metrics),
        poll_interval=timedelta(seconds=PATIENCE),
    )
    push = Push(Broker(Secret(reader_url), service="enforcement-gateway"), subscription)
    notifications = Notifications(database_url, [LOG])
    async with (
        open_pool(database_url, application_name="flow") as pool,
        open_event_log(LOG, pool, database_url) as log,
        running(subscription.run(), push.run(), notifications.run()),
    ):
        relay = Relay(
            log,
            database_url,
            notifications,
            Broker(Secret(relay_url), service="app-registry"),
            metrics=RelayMetrics(metrics),
            batch=batch,
        )

        def at() -> float:
            return (
                metrics.get_sample_value("tollgate_relay_position", {"log": LOG}) or 0
            )

        await _until(lambda: subscription.status().pushed)
        async with running(relay.run()):
            # Connecting is not what is measured: it begins with the first message.
            await _until(lambda: subscription.position > 0)
            first = subscription.position
            relayed = asyncio.create_task(_seconds_until(lambda: at() >= events))
            applied = await _seconds_until(lambda: subscription.position >= events)
            share = events / (events - first)
            return Flow(await relayed * share, applied * share)
    raise AssertionError


async def _seconds_until(condition: Callable[[], bool]) -> float:
    started = time.perf_counter()
    await _until(condition)
    return time.perf_counter() - started


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody sets one for a position
            await asyncio.sleep(GLANCE)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    *urls, count, size = sys.argv[1:]
    flow = asyncio.run(measure(urls[0], urls[1], urls[2], int(count), int(size)))
    print(msgspec.json.encode(flow).decode())
