"""The sockets that clients connect to."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import structlog

ACCEPTED_AT_ONCE = 64
"""Connections taken before others have their turn."""

PAUSE_SECONDS = 1.0
"""After a connection could not be taken, as when there are no more descriptors."""

logger = structlog.get_logger(__name__)


class Listener:
    """Takes connections off sockets that listen, which it owns from then on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        take: Callable[[socket.socket], None],
    ) -> None:
        self.sockets = tuple(sockets)
        self._loop = loop
        self._take = take
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        for listening in sockets:
            listening.setblocking(False)
            self._watch(listening)

    def close(self) -> None:
        """Take no more. Those who were taken are served on."""
        for listening in self.sockets:
            pause = self._pauses.pop(listening, None)
            if pause is not None:
                pause.cancel()
            self._loop.remove_reader(listening)
            listening.close()
        self.sockets = ()

    def _watch(self, listening: socket.socket) -> None:
        self._pauses.pop(listening, None)
        self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # Without a pause the loop would hear of it again at once, and always.
                logger.warning("no connection can be taken", why=error.strerror)
                self._loop.remove_reader(listening)
                self._pauses[listening] = self._loop.call_later(
                    PAUSE_SECONDS, self._watch, listening
                )
                return
            self._take(connected)
