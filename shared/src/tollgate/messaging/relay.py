"""Carries a log to the broker: the log is the outbox (ADR 5).

One relay of a log is active, whoever holds its advisory lock on a session of its own.
It publishes in the order of positions, several messages at a time, and moves the
checkpoint to the last event before which nothing is unconfirmed, when nothing follows
or a moment has passed. Whatever goes wrong, it starts again after the checkpoint: a
message may come twice and, at a failover, from two relays at once, which subscribers
ignore; none is left out.

A message that reaches no queue is not published. Without any subscriber the relay
offers its next message again when the log has grown, and now and then, and that is all
it does.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, DeliveryMode, ExchangeType
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq import spec
from aiormq.abc import AbstractChannel as Underlay

from tollgate.database import LOST, UNDONE, Connection, connect
from tollgate.eventlog import EventLog, LogUnavailable
from tollgate.messaging.alarms import Limiter
from tollgate.messaging.broker import TROUBLE, Broker, BrokerLost, exchange_of
from tollgate.messaging.messages import (
    CONTENT_TYPE,
    MAX_EVENTS,
    EventMessage,
    headers_of,
    messages_of,
)
from tollgate.messaging.metrics import RelayMetrics
from tollgate.messaging.notifications import Notifications

SUBSCRIBER = "relay"
"""Whose checkpoint it is."""

MAX_WINDOW = 16
"""Messages in flight; a window starts at one and doubles while all is confirmed."""

CONFIRM_TIMEOUT = 10.0
"""Seconds for the broker to confirm a window: an alarm blocks it without a word."""

REST = 0.05
"""Seconds for which an unroutable or refused message is not offered again at all."""

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
"""Seconds before it is offered again without news of the log, doubling."""

QUIET = 0.02
"""Seconds without news after which the checkpoint is moved: what was just published is
on its way meanwhile, and moving it takes processors that readers wait for."""

UNSAVED = 0.2
"""Seconds after which it is moved all the same, where there are news all the time."""

LOCK_INTERVAL = 1.0
"""Seconds between tries to become the active relay, and between proofs that it is."""

PROOF_AGE = 2.0
"""Seconds for which a sign of life of the lock's session lets us publish."""

LOCK_CLASS = 0x746F6C6C  # "toll"

logger = structlog.get_logger(__name__)


class _LockLost(Exception):
    """Another relay may be active from now on."""


class Relay:
    """Publishes one log. `run` it in every replica of its owner: one is active."""

    def __init__(
        self,
        log: EventLog,
        database_url: str,
        notifications: Notifications,
        broker: Broker,
        *,
        metrics: RelayMetrics,
        poll_interval: timedelta = timedelta(seconds=1),
        batch: int = MAX_EVENTS,
    ) -> None:
        """`batch` is how many events share a message, if there are as many."""
        self._log = log
        self._database_url = database_url
        self._notifications = notifications
        self._broker = broker
        self._metrics = metrics
        self._poll_interval = poll_interval.total_seconds()
        self._batch = batch
        self._alarm = Limiter()
        metrics.active.labels(log.name).set(0)

    async def run(self) -> None:
        """Publish while the lock is ours, and compete for it while it is not."""
        trouble = Limiter()
        while True:
            try:
                async with self._lock() as session:
                    if trouble.reset():
                        logger.info("relay can reach its log", log=self._log.name)
                    await self._lead(session)
            except (*LOST, *UNDONE, _LockLost) as error:
                if trouble.admits():
                    logger.warning(
                        "relay cannot hold its lock",
                        log=self._log.name,
                        reason=type(error).__name__,
                    )
            await asyncio.sleep(LOCK_INTERVAL / 2)

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator["_Session"]:
        """Wait until the lock is ours; it goes with the session."""
        connection = await connect(
            self._database_url, application_name=f"relay of {self._log.name}"
        )
        session = _Session(connection, self._log.name)
        try:
            while not await session.take_lock():
                await session.rest(LOCK_INTERVAL)
            yield session
        finally:
            connection.terminate()

    async def _lead(self, session: "_Session") -> None:
        """Publish until the session of the lock is lost, and not a moment longer."""
        logger.info("relay is active", log=self._log.name)
        self._metrics.active.labels(self._log.name).set(1)
        publishing = asyncio.create_task(
            self._broker.keep(
                f"publishes {self._log.name}",
                lambda channel: self._publish(channel, session),
                on_lost=self._metrics.failures.labels(
                    self._log.name, "disconnected"
                ).inc,
            ),
            name=f"relay {self._log.name}",
        )
        proving = asyncio.create_task(self._prove(session))
        try:
            await asyncio.wait(
                {publishing, proving}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._metrics.active.labels(self._log.name).set(0)
            publishing.cancel()
            proving.cancel()
            outcomes = await asyncio.gather(publishing, proving, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _prove(self, session: "_Session") -> None:
        while True:
            head = await session.prove()
            self._metrics.head.labels(self._log.name).set(head)
            await session.rest(LOCK_INTERVAL)

    async def _publish(self, channel: AbstractChannel, session: "_Session") -> None:
        """Publish all that follows the checkpoint, and then whatever comes."""
        exchange = exchange_of(self._log.name)
        await channel.declare_exchange(
            exchange, ExchangeType.TOPIC, durable=True, timeout=CONFIRM_TIMEOUT
        )
        underlay = await channel.get_underlay_channel()
        window, pause = 1, FIRST_PAUSE
        position, last = await self._start(session)
        progress = _Progress(position, asyncio.get_running_loop().time())
        while True:
            heard = self._notifications.heard(self._log.name)
            messages, more = await self._next(position, last, window)
            if not messages:
                await self._rest(session, progress, heard)
                continue
            await session.prove_if_old()
            confirmed, error = await _publish_all(underlay, exchange, messages)
            if confirmed:
                end = messages[confirmed - 1][0]
                position, last = end.last, bytes.fromhex(end.events[-1].hash)
                progress.position = position
                if error is not None or progress.is_old():
                    await self._save(session, progress)
                pause = FIRST_PAUSE
            if error is None:
                window = min(2 * window, MAX_WINDOW)
                self._recovered(position)
                if not more:
                    await self._rest(session, progress, heard)
                continue
            self._failed(error, position)
            window = 1
            # Whoever binds a queue has read the log so far and waits for what comes
            # next: that must not wait for us.
            await asyncio.sleep(REST)
            await self._notifications.wait(self._log.name, after=heard, at_most=pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _rest(
        self, session: "_Session", progress: "_Progress", heard: int
    ) -> None:
        """Wait for news after `heard`; where there are none soon, save the progress."""
        name = self._log.name
        if progress.position > progress.saved:
            await self._notifications.wait(name, after=heard, at_most=QUIET)
            if self._notifications.heard(name) > heard:
                return
            await self._save(session, progress)
        await self._notifications.wait(name, after=heard, at_most=self._poll_interval)

    async def _save(self, session: "_Session", progress: "_Progress") -> None:
        """Move the checkpoint; only what is behind it counts as published."""
        position = progress.position
        await session.advance(position)
        count = position - progress.saved
        self._metrics.published.labels(self._log.name).inc(count)
        self._metrics.position.labels(self._log.name).set(position)
        progress.saved, progress.saved_at = (
            position,
            asyncio.get_running_loop().time(),
        )

    async def _start(self, session: "_Session") -> tuple[int, bytes]:
        """The checkpoint, and the hash that the log has there."""
        position = await session.checkpoint()
        self._metrics.position.labels(self._log.name).set(position)
        try:
            last = await self._log.hash_at(position)
            if last is None:
                # Only a checkpoint table that is newer than its log can say so.
                head = await self._log.head()
                logger.error(
                    "relay has published more than the log holds",
                    log=self._log.name,
                    position=position,
                    head=head.position,
                )
                position, last = head.position, head.hash
        except LogUnavailable as error:
            raise BrokerLost("the log cannot be read") from error
        return position, last

    async def _next(
        self, position: int, last: bytes, window: int
    ) -> tuple[list[tuple[EventMessage, bytes]], bool]:
        """The next messages, and whether there may be more behind them."""
        limit = window * self._batch
        try:
            events = await self._log.read_after(position, limit=limit)
        except LogUnavailable:
            await asyncio.sleep(self._poll_interval)
            return [], False
        messages = list(messages_of(self._log.name, last, events, self._batch))
        return messages[:window], len(events) == limit or len(messages) > window

    def _failed(self, error: Exception, position: int) -> None:
        if isinstance(error, PublishError):
            reason = "unroutable"
        elif isinstance(error, DeliveryError):
            reason = "refused"
        elif isinstance(error, TimeoutError):
            reason = "unconfirmed"
        else:
            raise BrokerLost(str(error)) from error
        self._metrics.failures.labels(self._log.name, reason).inc()
        if self._alarm.admits():
            logger.warning(
                "events are not reaching subscribers by the broker",
                log=self._log.name,
                position=position,
                reason=reason,
            )
        if reason == "unconfirmed":
            raise BrokerLost("it does not confirm") from error

    def _recovered(self, position: int) -> None:
        if self._alarm.reset():
            logger.info(
                "events reach subscribers again", log=self._log.name, position=position
            )


class _Progress:
    """How far a relay has come, and how far the checkpoint."""

    def __init__(self, position: int, at: float) -> None:
        self.position = self.saved = position
        self.saved_at = at

    def is_old(self) -> bool:
        """Whether the checkpoint has not been moved for long, on the loop's clock."""
        return asyncio.get_running_loop().time() - self.saved_at > UNSAVED


class _Session:
    """The database session that holds the lock, and answers for it."""

    def __init__(self, connection: Connection, log: str) -> None:
        self._connection = connection
        self._log = log
        self._lost = asyncio.Event()
        self._turn = asyncio.Lock()  # a session does one thing at a time
        self._proved_at = 0.0
        connection.add_termination_listener(lambda _: self._lost.set())

    async def take_lock(self) -> bool:
        return bool(
            await self._ask(
                "SELECT pg_try_advisory_lock($1, hashtext($2))", LOCK_CLASS, self._log
            )
        )

    async def checkpoint(self) -> int:
        position = await self._ask(
            f"SELECT position FROM {self._log}.checkpoints"  # noqa: S608 - our own name
            " WHERE subscriber = $1",
            SUBSCRIBER,
        )
        return int(position or 0)

    async def advance(self, position: int) -> None:
        await self._ask(
            f"SELECT {self._log}.advance_checkpoint($1, $2)",
            SUBSCRIBER,
            position,
        )

    async def prove(self) -> int:
        """The head of the log, by which the session shows that it lives."""
        head = await self._ask(
            f"SELECT position FROM {self._log}.head"  # noqa: S608 - our own name
        )
        return int(head)

    async def prove_if_old(self) -> None:
        """Before publishing: a process that was frozen may have lost the lock since."""
        if asyncio.get_running_loop().time() - self._proved_at > PROOF_AGE:
            await self.prove()

    async def rest(self, seconds: float) -> None:
        """Do nothing for a while, or raise at once when the session is lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lost.wait()
        self._raise_if_lost()

    async def _ask(self, query: str, *arguments: object) -> Any:  # noqa: ANN401 - SQL
        async with self._turn:
            self._raise_if_lost()
            asked_at = asyncio.get_running_loop().time()
            try:
                answer = await self._connection.fetchval(query, *arguments)
            except (*LOST, *UNDONE) as error:
                raise _LockLost(type(error).__name__) from error
            self._raise_if_lost()
            self._proved_at = asked_at
            return answer

    def _raise_if_lost(self) -> None:
        if self._lost.is_set() or self._connection.is_closed():
            raise _LockLost("the session is gone")


async def _publish_all(
    channel: Underlay,
    exchange: str,
    messages: Sequence[tuple[EventMessage, bytes]],
) -> tuple[int, Exception | None]:
    """Publish in order; how many from the first on are confirmed, and the first error.

    All are sent before the first confirm is awaited. What follows an error may have
    been delivered: it will come again.
    """
    publishing = [
        asyncio.ensure_future(_publish_one(channel, exchange, message, body))
        for message, body in messages
    ]
    try:
        await asyncio.wait(publishing, timeout=CONFIRM_TIMEOUT)
    finally:
        for each in publishing:
            each.cancel()
        await asyncio.gather(*publishing, return_exceptions=True)
    for confirmed, each in enumerate(publishing):
        if each.cancelled():
            return confirmed, TimeoutError("not confirmed in time")
        if (error := each.exception()) is not None:
            if not isinstance(error, TROUBLE):
                raise error
            return confirmed, error
    return len(publishing), None


async def _publish_one(
    channel: Underlay, exchange: str, message: EventMessage, body: bytes
) -> None:
    """By the channel below aio_pika's, which makes objects that nobody looks at."""
    await channel.basic_publish(
        body,
        exchange=exchange,
        routing_key=message.routing_key,
        properties=spec.Basic.Properties(
            headers=dict(headers_of(message)),
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT.value,
            message_id=f"{message.log}-{message.first}-{message.last}",
            message_type=message.routing_key,
        ),
        mandatory=True,
    )
