"""A process that follows the registry log, to be killed: see test_killed_subscriber.py.

    subscriber_process.py FEED_URL AMQP_URL SNAPSHOT SECRET

Prints a line of JSON once it has started, and another when it is told to end: its
position, and the SHA-256 of its state.
"""

import asyncio
import hashlib
import json
import signal
import sys
from datetime import timedelta
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry

from tollgate.background import running
from tollgate.messaging.broker import Broker
from tollgate.messaging.feed_client import FeedClient
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.push import Push
from tollgate.messaging.subscription import Subscription
from tollgate.projections.snapshot import SnapshotFile
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret


async def main(feed_url: str, amqp_url: str, snapshot: str, secret: str) -> None:
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    async with aiohttp.ClientSession() as session:
        source = FeedClient(
            session, feed_url, "registry", secret=Secret(secret), instance="killed"
        )
        subscription = Subscription(
            source,
            RegistryState,
            metrics=SubscriptionMetrics(CollectorRegistry()),
            poll_interval=timedelta(seconds=0.1),
        )
        file = SnapshotFile(Path(snapshot), [subscription])
        restored = await file.restore()
        tell(restored=restored, position=subscription.position)
        broker = Broker(Secret(amqp_url), service="enforcement-gateway")
        async with running(
            subscription.run(),
            Push(broker, subscription).run(),
            file.run(timedelta(seconds=0.05)),
        ):
            await ending.wait()
        tell(
            position=subscription.position,
            state=hashlib.sha256(subscription.state.dump()).hexdigest(),
        )


def tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
