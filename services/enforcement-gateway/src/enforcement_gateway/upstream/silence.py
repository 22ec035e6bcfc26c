"""Which connections to an upstream are not silent, though nobody asked anything.

An upstream may end a connection that is idle, and what it says may have arrived without
the event loop having come to it: a request written then would be lost. So the kernel is
asked about all of them at once, and that answer serves for a moment. Asking about each
at every request would cost a system call a request.

The kernel tells of each arrival once (`EPOLLET`): else it would tell again and again of
all the answers that wait to be read, hundreds of them where a thousand clients are
served. What is told of a connection that is not idle is the answer, or more that is
read with it; an end is noted, because it is no news a second time.
"""

import contextlib
import select
import time

from enforcement_gateway.upstream.connection import UpstreamConnection

MOMENT = 0.001
"""Seconds for which an answer of the kernel serves: less than a network needs to tell
that a connection has ended."""


_ARRIVALS = select.EPOLLIN | select.EPOLLRDHUP
_END = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Silence:
    """Of the connections of one pool.

    What the kernel said serves until `known_until`, by the monotonic clock.
    """

    __slots__ = ("_connections", "_epoll", "known_until")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._connections: dict[int, UpstreamConnection] = {}
        self.known_until = 0.0

    def expect(self, connection: UpstreamConnection) -> None:
        """Watch that connection from now on, if it is one of the kernel's."""
        descriptor = connection.descriptor
        if descriptor >= 0:
            self._connections[descriptor] = connection
            # With TLS not all that has come is read with the answer.
            once = 0 if connection.is_tls else select.EPOLLET
            self._epoll.register(descriptor, _ARRIVALS | once)

    def forget(self, connection: UpstreamConnection) -> None:
        """It is about to be closed."""
        if self._connections.pop(connection.descriptor, None) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(connection.descriptor)

    def ensure(self) -> None:
        """End the connections that nobody asked and that are not silent."""
        self.known_until = time.monotonic() + MOMENT
        # All of them: without a number only the first thousand would be told.
        for descriptor, events in self._epoll.poll(0, len(self._connections) or -1):
            connection = self._connections[descriptor]
            if connection.is_idle():  # else it is the answer that is waited for
                connection.close()
            elif events & _END:
                connection.is_last = True

    def close(self) -> None:
        self._connections.clear()
        self._epoll.close()
