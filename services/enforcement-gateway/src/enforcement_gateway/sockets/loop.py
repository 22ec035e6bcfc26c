"""The event loop of a worker: asyncio's, with a short way for the data path."""

import asyncio
import contextlib
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

from enforcement_gateway.sockets.listener import Listener
from enforcement_gateway.sockets.readiness import USUAL, Readiness
from enforcement_gateway.sockets.transport import Receiver, SocketTransport

TLS_HANDSHAKE_SECONDS = 10.0

TLS_GRACE_SECONDS = 1.0
"""A handshake that has lasted longer is given up for the next, if there is no room."""


class Loop(asyncio.SelectorEventLoop):
    """Runs anything that runs on asyncio."""

    def __init__(self, let_in: Callable[[], int]) -> None:
        """`let_in` tells how many requests of its connections were let in so far."""
        self._readiness = Readiness(let_in)
        self._shaking: OrderedDict[asyncio.Task[None], float] = OrderedDict()  # since
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
        *,
        welcomed: Callable[[], int],
        make_room: Callable[[int], bool],
    ) -> Listener:
        """Serve whoever connects to one of `sockets`, which listen.

        `welcomed` tells how many of them were let in so far, and `make_room` whether
        there is room for one more beside as many with whom TLS is being agreed.
        """

        def take(connected: socket.socket) -> None:
            if tls is None:
                transport = self.attach(connected, make_protocol())
                # Who waited has spoken: that is heard for the share of those who come.
                transport.on_ready(USUAL)
                return
            has_room = make_room(len(self._shaking)) or self._give_up_handshake()
            if not has_room:
                connected.close()  # what could be told would take the handshake first
                return
            shaking = self.create_task(
                self._shake_hands(connected, make_protocol(), tls)
            )
            self._shaking[shaking] = self.time()
            shaking.add_done_callback(lambda done: self._shaking.pop(done, None))

        return Listener(self, self._readiness, sockets, take, welcomed)

    def _give_up_handshake(self) -> bool:
        """The longest one, for another to have its place; False if none is long."""
        shaking, since = next(iter(self._shaking.items()), (None, self.time()))
        if shaking is None or since + TLS_GRACE_SECONDS > self.time():
            return False
        del self._shaking[shaking]
        shaking.cancel()
        return True

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
