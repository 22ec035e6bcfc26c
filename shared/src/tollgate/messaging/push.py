"""Brings a subscription what the broker has: its own queue, bound to the log.

The queue is exclusive, deleted with its connection, named by us, and of bounded length:
the oldest messages go first, and the feed has them. It is never looked for again. After
a loss there is another one, and the feed is read from where the subscription is.
"""

import asyncio
import secrets
from typing import Any, TypeAlias

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from tollgate.messaging.broker import Broker, BrokerLost, exchange_of
from tollgate.messaging.subscription import Subscription
from tollgate.projections.replica import StateT

PREFETCH = 32
"""Messages delivered and not yet acknowledged: bounds the memory of a slow reader."""

MAX_LENGTH = 2_000
MAX_LENGTH_BYTES = 64 * 1024 * 1024

SETUP_TIMEOUT = 10.0

QUEUE_ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "classic",  # the only type that can be exclusive
    "x-max-length": MAX_LENGTH,
    "x-max-length-bytes": MAX_LENGTH_BYTES,
    "x-overflow": "drop-head",
}

_Inbox: TypeAlias = "asyncio.Queue[AbstractIncomingMessage | str]"
"""Deliveries in order, or why there will be no more."""


class Push:
    """Delivers to one subscription. Without it, or with it down, polling goes on."""

    def __init__(self, broker: Broker, subscription: Subscription[StateT]) -> None:
        self._broker = broker
        self._subscription = subscription
        self._purpose = f"reads {subscription.log}"

    async def run(self) -> None:
        """Deliver until cancelled, through any loss of the broker."""
        await self._broker.keep(self._purpose, self._consume)

    async def _consume(self, channel: AbstractChannel) -> None:
        inbox: _Inbox = asyncio.Queue()
        async with asyncio.timeout(SETUP_TIMEOUT):
            await self._open_queue(channel, inbox)
        self._subscription.push_started()
        watching = asyncio.create_task(self._watch_for_silence(inbox))
        try:
            while not isinstance(arrived := await inbox.get(), str):
                await self._subscription.deliver(arrived.headers, arrived.body)
                await arrived.ack()
        finally:
            watching.cancel()
            self._subscription.push_stopped()
        raise BrokerLost(arrived)

    async def _watch_for_silence(self, inbox: _Inbox) -> None:
        await self._subscription.silent.wait()
        await inbox.put("the queue is silent while the log grows")

    async def _open_queue(self, channel: AbstractChannel, inbox: _Inbox) -> None:
        await channel.set_qos(prefetch_count=PREFETCH)
        # Passive: a reader may not declare an exchange; its owner does.
        exchange = await channel.get_exchange(
            exchange_of(self._subscription.log), ensure=True
        )
        queue = await channel.declare_queue(
            f"tollgate.{self._broker.service}.{secrets.token_hex(8)}",
            exclusive=True,
            auto_delete=True,
            arguments=QUEUE_ARGUMENTS,
        )
        await queue.bind(exchange, "#")
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(
            lambda _: inbox.put_nowait("the queue was deleted")
        )
        await queue.consume(inbox.put)
