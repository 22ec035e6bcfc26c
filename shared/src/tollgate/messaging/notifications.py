"""Word that a log has grown, from PostgreSQL's NOTIFY: a hint, never the truth.

A notification is lost while the listener reconnects, so whoever waits here also looks
again after a while.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable

import structlog

from tollgate.database import LOST, UNDONE, Connection, connect

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between tries to listen again, doubling from the first to the longest."""

PROBE_INTERVAL = 5.0
"""Seconds between signs of life asked of the server: a silent peer looks like rest."""

REMEMBERED = 64
"""Positions for which a log was rung lately: the second word of one wakes nobody."""

logger = structlog.get_logger(__name__)


class Notifications:
    """Listens for several logs of one database. `run` must be running.

    Of those in `only_own` nothing is heard but what this process appends: whoever waits
    for what others do looks again after a while.
    """

    def __init__(
        self,
        url: str,
        logs: Iterable[str],
        *,
        only_own: Collection[str] = (),
        application_name: str = "tollgate",
    ) -> None:
        self._url = url
        self._application_name = application_name
        self._heard = dict.fromkeys(logs, 0)
        self._listened = [log for log in self._heard if log not in only_own]
        self._rung = {log: deque[int](maxlen=REMEMBERED) for log in self._heard}
        self._rings = {log: asyncio.Event() for log in self._heard}
        self.closed = False

    def heard(self, log: str) -> int:
        """How often `log` was notified; ask before looking, then `wait` for more."""
        return self._heard[log]

    async def wait(self, log: str, *, after: int, at_most: float) -> None:
        """Return once more than `after` were heard, or after `at_most` seconds."""
        if self._heard[log] > after or self.closed:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._rings[log].wait()

    def ring(self, log: str, position: int) -> None:
        """Whoever has appended up to `position` tells it, sooner than the server does.

        What the server says of the same position is then no news.
        """
        rung = self._rung[log]
        if position not in rung:
            rung.append(position)
            self._ring(log)

    def close(self) -> None:
        """Let everybody who waits go, and nobody wait any more."""
        self.closed = True
        self._ring_all()

    async def run(self) -> None:
        """Listen until cancelled, through any loss of the connection."""
        pause = FIRST_PAUSE
        while True:
            try:
                connection = await connect(
                    self._url, application_name=self._application_name
                )
            except (*LOST, *UNDONE) as error:
                logger.warning("cannot listen", reason=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            try:
                await self._listen(connection)
            except (*LOST, *UNDONE) as error:
                logger.warning("stopped listening", reason=type(error).__name__)
                await asyncio.sleep(FIRST_PAUSE)
            else:
                pause = FIRST_PAUSE
            finally:
                connection.terminate()

    async def _listen(self, connection: Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        for log in self._listened:
            await connection.add_listener(f"{log}_log", self._ring_of(log))
        self._ring_all()  # whatever came before this moment went unheard
        while not lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL):
                    await lost.wait()
            if not lost.is_set():
                await connection.fetchval("SELECT 1")

    def _ring_of(self, log: str) -> Callable[..., None]:
        def ring(*said: object) -> None:
            position = said[-1]
            if isinstance(position, str) and position.isdecimal():
                self.ring(log, int(position))
            else:
                self._ring(log)

        return ring

    def _ring_all(self) -> None:
        for log in self._heard:
            self._ring(log)

    def _ring(self, log: str) -> None:
        self._heard[log] += 1
        ringing, self._rings[log] = self._rings[log], asyncio.Event()
        ringing.set()
