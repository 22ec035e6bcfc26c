"""One message through the broker, published and delivered as ours are: the peer."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from tollgate.messaging.push import PREFETCH, QUEUE_ARGUMENTS

BODY = b"x" * 450
"""As long as a message of one revocation."""

EXCHANGE = "tollgate.bench"


class Messenger:
    """Publishes on one connection what it receives on another."""

    def __init__(self, exchange: AbstractExchange) -> None:
        self._exchange = exchange
        self._arrivals: asyncio.Queue[float] = asyncio.Queue()

    async def receive(self, message: AbstractIncomingMessage) -> None:
        self._arrivals.put_nowait(asyncio.get_running_loop().time())
        await message.ack()

    async def send(self) -> float:
        """Seconds from publishing one message until it is delivered.

        Its confirm is waited for as well, but not counted.
        """
        sent = asyncio.get_running_loop().time()
        message = aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        confirmed = asyncio.ensure_future(
            self._exchange.publish(message, routing_key="oauth_app.x", mandatory=True)
        )
        arrived = await self._arrivals.get()
        await confirmed
        return arrived - sent


@asynccontextmanager
async def open_messenger(broker_url: str) -> AsyncIterator[Messenger]:
    async with (
        await aio_pika.connect(broker_url) as publishing,
        await aio_pika.connect(broker_url) as consuming,
    ):
        channel = await publishing.channel(on_return_raises=True)
        exchange = await channel.declare_exchange(
            EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True
        )
        messenger = Messenger(exchange)
        inbound = await consuming.channel()
        await inbound.set_qos(prefetch_count=PREFETCH)
        queue = await inbound.declare_queue(
            f"tollgate.bench.{secrets.token_hex(8)}",
            exclusive=True,
            auto_delete=True,
            arguments=QUEUE_ARGUMENTS,
        )
        await queue.bind(EXCHANGE, "#")
        await queue.consume(messenger.receive)
        yield messenger
        await channel.exchange_delete(EXCHANGE)
