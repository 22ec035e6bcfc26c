"""The sockets that clients connect to."""

import asyncio
import select
import socket
from collections.abc import Callable, Sequence

import structlog

from enforcement_gateway.sockets.arrivals import Arrivals
from enforcement_gateway.sockets.readiness import Readiness
from enforcement_gateway.sockets.watched import Watched

PAUSE_SECONDS = 1.0
"""After a connection could not be taken, as when there are no more descriptors."""

_ONCE = select.EPOLLIN | select.EPOLLONESHOT
"""What the kernel tells: that somebody is there. It is asked again when nobody is."""

logger = structlog.get_logger(__name__)


class Listener:
    """Takes connections off sockets that listen, which it owns from then on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness,
        sockets: Sequence[socket.socket],
        take: Callable[[socket.socket], None],
        welcomed: Callable[[], int],
    ) -> None:
        """`welcomed` tells how many were let in so far, of all that were taken."""
        self.sockets = tuple(sockets)
        arrivals = readiness.new_arrivals(welcomed)
        self._entrances = [
            _Entrance(loop, readiness, arrivals, listening, take)
            for listening in sockets
        ]

    def close(self) -> None:
        """Take no more. Those who were taken are served on."""
        for entrance in self._entrances:
            entrance.close()
        self._entrances = []
        self.sockets = ()


class _Entrance(Watched):
    """One of them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness,
        arrivals: Arrivals,
        listening: socket.socket,
        take: Callable[[socket.socket], None],
    ) -> None:
        super().__init__()
        listening.setblocking(False)
        self._loop = loop
        self._readiness = readiness
        self._arrivals = arrivals
        self._listening = listening
        self._take = take
        self._pause: asyncio.TimerHandle | None = None
        readiness.watch(listening.fileno(), self, _ONCE)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._arrivals.leave(self)
        self._readiness.forget(self._listening.fileno())
        self._listening.close()

    def on_ready(self, events: int) -> None:
        del events
        self._arrivals.come(self)

    def take(self, most: int) -> int:
        """See `arrivals.Entrance`."""
        for taken in range(most):
            try:
                connected, _ = self._listening.accept()
            except ConnectionAbortedError:
                continue
            except BlockingIOError:
                self._ask_again()
                return taken
            except OSError as error:
                # Without a pause the loop would hear of it again at once, and always.
                logger.warning("no connection can be taken", why=error.strerror)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._ask_again)
                return taken
            try:
                self._take(connected)
            except Exception as error:  # noqa: BLE001 - the loop serves all the others
                connected.close()
                self._loop.call_exception_handler(
                    {"message": "a connection was not served", "exception": error}
                )
        return most

    def _ask_again(self) -> None:
        self._pause = None
        self._readiness.watch_again(self._listening.fileno(), _ONCE)
