"""A connection to the broker that is told to end does so, whatever it is doing."""

import asyncio
import random

from aio_pika.abc import AbstractChannel

from tollgate.messaging.broker import Broker
from tollgate.settings import Secret


async def test_cancelled_while_it_connects_it_ends() -> None:
    async def work(_: AbstractChannel) -> None:
        raise AssertionError("nobody listens there")

    broker = Broker(Secret("amqp://127.0.0.1:1"), service="test")
    for _ in range(100):
        keeping = asyncio.create_task(broker.keep("nothing", work))
        await asyncio.wait({keeping}, timeout=random.uniform(0, 0.02))  # noqa: S311
        keeping.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait({keeping})
        assert keeping.cancelled()
