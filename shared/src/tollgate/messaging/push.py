"""Brings a subscription what the broker has: its own queue, bound to the log.

The queue is exclusive, deleted with its connection, named by us, and of bounded length:
the oldest messages go first, and the feed has them. It is never looked for again. After
a loss there is another one, and the feed is read from where the subscription is.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from tollgate.messaging.broker import Broker, BrokerLost, exchange_of
from tollgate.messaging.subscription import Offer, Subscription
from tollgate.projections.replica import StateT

PREFETCH = 32
"""Messages delivered and not yet acknowledged: bounds the memory of a slow reader."""

ACKNOWLEDGE_AFTER = 0.02
"""Seconds for which settled deliveries are not acknowledged yet: the other readers of
the same events come first, and the broker waits for nothing."""

MAX_UNACKNOWLEDGED = PREFETCH // 2
"""Settled deliveries that are acknowledged at once, so that others may come."""

MAX_LENGTH = 2_000
MAX_LENGTH_BYTES = 64 * 1024 * 1024

SETUP_TIMEOUT = 10.0

QUEUE_ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "classic",  # the only type that can be exclusive
    "x-max-length": MAX_LENGTH,
    "x-max-length-bytes": MAX_LENGTH_BYTES,
    "x-overflow": "drop-head",
}


class _Delivery:
    """One message of the queue."""

    __slots__ = ("_message", "_offered")

    def __init__(self, message: DeliveredMessage) -> None:
        self._message = message
        self._offered: Offer | None = None

    @property
    def _headers(self) -> Mapping[str, object]:
        return self._message.header.properties.headers or {}

    def is_settled_by(self, subscription: Subscription[Any]) -> bool:
        """Offer it, now; whether that was all."""
        self._offered = subscription.offer(self._headers, self._message.body)
        return self._offered is Offer.SETTLED

    async def settle(self, subscription: Subscription[Any]) -> None:
        """Do whatever is left to do about it."""
        if self._offered is None:
            self.is_settled_by(subscription)
        if self._offered is not None:
            await subscription.settle(self._offered, self._headers, self._message.body)

    async def acknowledge(self) -> None:
        if self._message.delivery_tag is not None:
            await self._message.channel.basic_ack(
                self._message.delivery_tag, wait=False
            )


class Inbox:
    """Takes deliveries in order: at once where they fit, one after another where not.

    It stands on the channel below aio_pika's, which makes a message of every delivery
    that nobody looks at.
    """

    def __init__(self, subscription: Subscription[Any]) -> None:
        self._subscription = subscription
        self._open: asyncio.Queue[_Delivery | str | Exception | None] = asyncio.Queue()
        """None says that it is time to acknowledge."""
        self._settling = False
        """While something is open, whatever arrives waits behind it."""
        self._settled: list[_Delivery] = []
        """In order, and not acknowledged yet."""

    async def receive(self, message: DeliveredMessage) -> None:
        """In a task of the library's, which would swallow what is raised here."""
        try:
            await self._take(_Delivery(message))
        except Exception as error:  # noqa: BLE001 - raised by `settle_all`
            self._open.put_nowait(error)

    def end(self, reason: str) -> None:
        """There will be no more, or they shall not be taken."""
        self._open.put_nowait(reason)

    async def settle_all(self) -> str:
        """Settle what could not be taken at once, until the end; why it came."""
        while not isinstance(arrived := await self._open.get(), str):
            if isinstance(arrived, Exception):
                raise arrived
            if arrived is None:
                await self._acknowledge()
            else:
                await arrived.settle(self._subscription)
                await self._note_settled(arrived)
            self._settling = not self._open.empty()
        await self._acknowledge()
        return arrived

    async def _take(self, delivery: _Delivery) -> None:
        if not self._settling:
            if delivery.is_settled_by(self._subscription):
                await self._note_settled(delivery)
                return
            self._settling = True
        self._open.put_nowait(delivery)

    async def _note_settled(self, delivery: _Delivery) -> None:
        self._settled.append(delivery)
        if len(self._settled) >= MAX_UNACKNOWLEDGED:
            await self._acknowledge()
        elif len(self._settled) == 1:
            asyncio.get_running_loop().call_later(
                ACKNOWLEDGE_AFTER, self._open.put_nowait, None
            )

    async def _acknowledge(self) -> None:
        settled, self._settled = self._settled, []
        for each in settled:
            await each.acknowledge()


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
        inbox = Inbox(self._subscription)
        async with asyncio.timeout(SETUP_TIMEOUT):
            await self._open_queue(channel, inbox)
        self._subscription.push_started()
        watching = asyncio.create_task(self._watch_for_silence(inbox))
        try:
            arrived = await inbox.settle_all()
        finally:
            watching.cancel()
            self._subscription.push_stopped()
        raise BrokerLost(arrived)

    async def _watch_for_silence(self, inbox: Inbox) -> None:
        await self._subscription.silent.wait()
        inbox.end("the queue is silent while the log grows")

    async def _open_queue(self, channel: AbstractChannel, inbox: Inbox) -> None:
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
            lambda _: inbox.end("the queue was deleted")
        )
        await underlay.basic_consume(queue.name, inbox.receive)
