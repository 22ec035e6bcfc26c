"""Connections to RabbitMQ that are made again whenever they are lost.

aio-pika's own `connect_robust` restores queues and consumers behind the caller's back,
under the old names, and fails what is published meanwhile. Here the work starts over on
a fresh channel instead: whoever published asks the checkpoint, whoever consumed reads
the feed.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.connection import Connection, make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from tollgate.background import was_cancelled
from tollgate.messaging.alarms import Limiter
from tollgate.settings import Secret

CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0

HEARTBEAT = 5
"""Seconds: a peer that is silent for three of them is taken for gone."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between tries to connect, doubling from the first to the longest."""

STEADY = 10.0
"""Seconds that a connection must have held for the next try to come at once."""

TROUBLE = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""What aio-pika raises when broker, connection or channel fail, or refuse."""

Work = Callable[[AbstractChannel], Awaitable[None]]

logger = structlog.get_logger(__name__)


class BrokerLost(Exception):
    """The channel is gone, or of no more use; its text says why."""


def exchange_of(log: str) -> str:
    """The durable topic exchange on which the events of `log` are published."""
    return f"tollgate.{log}"


class Broker:
    """Where the broker is, and as whom this service speaks to it.

    `service` begins the names of its queues: its account may use no others.
    """

    def __init__(self, url: Secret, *, service: str) -> None:
        self._url = url
        self.service = service
        # Both libraries tell of a lost connection in pages of traceback; one line of
        # ours is enough.
        for name in ("aio_pika", "aiormq"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    async def keep(
        self, purpose: str, work: Work, *, on_lost: Callable[[], None] = lambda: None
    ) -> None:
        """Do `work` on a channel of its own, over and over, until cancelled.

        The channel confirms what is published and raises what is returned. `work` is
        cancelled when the channel closes, and may raise `BrokerLost` to get another.
        `on_lost` is called for every channel that was lost or could not be had.
        """
        loop = asyncio.get_running_loop()
        alarm = Limiter()
        pause = FIRST_PAUSE
        while True:
            started = loop.time()
            try:
                async with self._channel(purpose) as channel:
                    if alarm.reset():
                        logger.info("broker is back", purpose=purpose)
                    await _while_open(channel, work)
            except (BrokerLost, asyncio.CancelledError, *TROUBLE) as error:
                if was_cancelled():  # whatever the library made of it
                    raise asyncio.CancelledError from error
                on_lost()
                if alarm.admits():
                    logger.warning(
                        "broker is lost", purpose=purpose, reason=_reason(error)
                    )
            if loop.time() - started > STEADY:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    @asynccontextmanager
    async def _channel(self, purpose: str) -> AsyncIterator[AbstractChannel]:
        # Not `aio_pika.connect`: a connection that could not be made is then closed by
        # the garbage collector, in a task of nobody.
        connection = Connection(
            make_url(
                self._url.reveal(),
                heartbeat=HEARTBEAT,
                name=f"{self.service} {purpose}",
            )
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection.connect(timeout=CONNECT_TIMEOUT)
                channel = connection.channel(
                    publisher_confirms=True, on_return_raises=True
                )
                await channel.initialize()
            yield channel
        finally:
            await _close(connection)


async def _close(connection: Connection) -> None:
    """Say goodbye to a broker that listens; leave one that does not."""
    with contextlib.suppress(*TROUBLE):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
    if not connection.is_closed:
        await connection.close()  # forgets what it could not tell the broker


async def _while_open(channel: AbstractChannel, work: Work) -> None:
    """Do `work` until it ends or the channel closes, whichever comes first.

    In a task of its own, because aiormq cancels whoever waits for a channel that
    closes, which must not look as if we had been cancelled.
    """
    working = asyncio.ensure_future(work(channel))
    closed = asyncio.ensure_future(channel.closed())
    try:
        await asyncio.wait({working, closed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        closed.cancel()
        working.cancel()
        await asyncio.wait({working})
    if working.cancelled():
        raise BrokerLost("the channel was closed")
    if (error := working.exception()) is not None:
        raise error


def _reason(error: BaseException) -> str:
    """What to tell of `error`: the server's words, never the URL with its password."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
