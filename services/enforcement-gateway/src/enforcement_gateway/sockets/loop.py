"""The event loop of a worker: asyncio's, with a short way for the data path."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

from enforcement_gateway.sockets.listener import Listener
from enforcement_gateway.sockets.readiness import Readiness
from enforcement_gateway.sockets.transport import Receiver, SocketTransport

TLS_HANDSHAKE_SECONDS = 10.0


class Loop(asyncio.SelectorEventLoop):
    """Runs anything that runs on asyncio."""

    def __init__(self, let_in: Callable[[], int]) -> None:
        """`let_in` tells how many requests of its connections were let in so far."""
        self._readiness = Readiness(let_in)
        self._shaking: set[asyncio.Task[None]] = set()
        super().__init__(cast("Any", self._readiness))  # all of it that is asked

    def attach(self, connected: socket.socket, protocol: Receiver) -> SocketTransport:
        """Serve a connected TCP socket from now on, which belongs to the transport."""
        transport = SocketTransport(self, self._readiness, connected, protocol)
        transport.start()
        return transport

    def listen(
        self,
        sockets: Sequence[socket.socket],
        make_protocol: Callable[[], Receiver],
        tls: ssl.SSLContext | None = None,
    ) -> Listener:
        """Serve whoever connects to one of `sockets`, which listen."""

        def take(connected: socket.socket) -> None:
            if tls is None:
                self.attach(connected, make_protocol())
                return
            shaking = self.create_task(
                self._shake_hands(connected, make_protocol(), tls)
            )
            self._shaking.add(shaking)
            shaking.add_done_callback(self._shaking.discard)

        return Listener(self, sockets, take)

    async def _shake_hands(
        self, connected: socket.socket, protocol: Receiver, tls: ssl.SSLContext
    ) -> None:
        # Who fails to is told so by the protocol of TLS, and is nobody to us.
        with contextlib.suppress(OSError):
            await self.connect_accepted_socket(
                lambda: cast("asyncio.Protocol", protocol),
                connected,
                ssl=tls,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS,
            )


def running_loop() -> Loop:
    """The one this runs on; `TypeError` if that is another."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, Loop):
        raise TypeError("the data path runs on a loop of its own (ADR 34)")
    return loop
