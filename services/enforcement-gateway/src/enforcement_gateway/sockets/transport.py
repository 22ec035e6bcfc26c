"""One TCP connection of the data path.

It is what our protocols use of an `asyncio.Transport`, and behaves as one does, so
that they run on that of asyncio too, which a connection with TLS has.
"""

import asyncio
import select
import socket
from typing import Protocol, cast

from enforcement_gateway.sockets import kernel
from enforcement_gateway.sockets.readiness import Readiness, Watched

READS_IN_A_ROW = 16
"""How often one connection is read before others have their turn."""

HIGH_WATER = 64 * 1024
"""Unsent octets above which the protocol is told to pause; at a quarter, to go on."""

LARGEST_PIECE = 256 * 1024
"""Octets that are copied to be sent again, after the kernel took only the start."""

_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
"""What the kernel tells: changes. It is asked for them once, when the connection comes,
and not again when that waits for something else."""

_READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_BROKEN = select.EPOLLHUP | select.EPOLLERR
_AGAIN = select.EPOLLIN | select.EPOLLRDHUP


class Receiver(Protocol):
    """What is told of a connection: all that `asyncio.Protocol` may be asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class SocketTransport(Watched):
    """Moves octets between a connected socket and a protocol. It owns the socket."""

    __slots__ = (
        "_blocked",
        "_closing",
        "_congested",
        "_descriptor",
        "_ended",
        "_high_water",
        "_loop",
        "_lost",
        "_paused",
        "_protocol",
        "_readiness",
        "_receive",
        "_shuts",
        "_socket",
        "_start",
        "_stirred",
        "_unsent",
        "_unsent_size",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness,
        connected: socket.socket,
        protocol: Receiver,
    ) -> None:
        self._loop = loop
        self._readiness = readiness
        self._socket = connected
        self._descriptor = connected.fileno()
        self._protocol = protocol
        self._receive = protocol.data_received
        self._unsent: list[bytes] = []
        self._start = 0  # how much of the first of them is sent
        self._unsent_size = 0
        self._blocked = False  # the kernel takes no more at the moment
        self._high_water = HIGH_WATER
        self._closing = False  # by us: no more is read, what is unsent still goes
        self._lost = False  # `connection_lost` is on its way, or was called
        self._ended = False  # by the other side: nothing more comes
        self._paused = False
        self._stirred = False  # something came while it was paused
        self._congested = False
        self._shuts = False  # our side, as soon as all is sent
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def start(self) -> None:
        """Tell the protocol, then read."""
        try:
            self._protocol.connection_made(cast("asyncio.Transport", self))
        except Exception as error:  # noqa: BLE001 - whatever it was, it goes on record
            self._fail(error)
        if not self._lost:
            self._readiness.watch(self._descriptor, self, _EDGES)

    # --- what a protocol asks of a transport ---

    def get_extra_info(self, name: str, default: object = None) -> object:
        """`socket` and `peername`, as of any transport."""
        if name == "socket":
            return self._socket
        if name == "peername":
            try:
                return self._socket.getpeername()
            except OSError:  # it has left already
                return default
        return default

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return self._unsent_size

    def set_write_buffer_limits(self, high: int) -> None:
        self._high_water = high

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        """Send it soon: when all who were told by the kernel have written theirs."""
        if self._closing or not data:
            return
        if not self._unsent:
            self._readiness.written.append(self)
        self._unsent.append(data)
        self._unsent_size += len(data)
        if self._unsent_size > self._high_water:
            if self._blocked:
                self._tell_of_congestion()
            else:
                self.flush()

    def write_eof(self) -> None:
        """Close our side when all is sent. What comes is still read."""
        self._shuts = True
        if not self._unsent:
            self._shut()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        if self._stirred:  # the kernel told it then, and does not repeat itself
            self._stirred = False
            self._loop.call_soon(self.on_ready, _AGAIN)

    def close(self) -> None:
        """Send what is left, then end."""
        if not self._closing:
            self._closing = True
            if not self._unsent:
                self._lose(None)

    def abort(self) -> None:
        """End now."""
        self._lose(None)

    # --- told by the kernel ---

    def on_ready(self, events: int) -> None:
        """Send what waits, and read until nothing is left.

        Fewer octets than were asked for say so, unless the end of them was told with
        them: that is no news that the kernel repeats.
        """
        if self._blocked and events & _WRITABLE:
            self._blocked = False
            self.flush()
        if self._closing or not events & _READABLE:
            return
        if self._ended:
            if events & _BROKEN:
                self._lose(None)
            return
        try:
            for _ in range(READS_IN_A_ROW):
                if self._paused:
                    self._stirred = True
                    return
                try:
                    data = kernel.receive(self._descriptor, kernel.READ_SIZE)
                except BlockingIOError:
                    return
                except OSError as error:
                    self._lose(error)
                    return
                if not data:
                    self._ended = True
                    if not self._protocol.eof_received():
                        self.close()
                    return
                self._receive(data)
                if self._closing:
                    return
                if len(data) < kernel.READ_SIZE and not events & _ENDED:
                    return
        except Exception as error:  # noqa: BLE001 - the loop serves all the others
            self._fail(error)
            return
        self._loop.call_soon(self.on_ready, _AGAIN)

    def flush(self) -> None:
        """Send as much of what is unsent as the kernel takes."""
        if self._blocked:
            return
        unsent = self._unsent
        if len(unsent) > 1 and not self._start and self._unsent_size <= HIGH_WATER:
            unsent = self._unsent = [b"".join(unsent)]
        while unsent:
            data = unsent[0]
            start = self._start
            if start:
                data = data[start : start + LARGEST_PIECE]
            try:
                sent = kernel.send(self._descriptor, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            self._unsent_size -= sent
            if sent < len(data):
                self._start = start + sent
                self._blocked = True  # until the kernel tells that there is room
                break
            if start + sent < len(unsent[0]):
                self._start = start + sent
            else:
                self._start = 0
                del unsent[0]
        if self._congested or unsent:
            try:
                self._tell_of_congestion()
            except Exception as error:  # noqa: BLE001 - as above
                self._fail(error)
                return
        if not unsent:
            if self._closing:
                self._lose(None)
            elif self._shuts:
                self._shut()

    # --- inside ---

    def _tell_of_congestion(self) -> None:
        if self._unsent_size > self._high_water:
            if not self._congested:
                self._congested = True
                self._protocol.pause_writing()
        elif self._congested and 4 * self._unsent_size <= self._high_water:
            self._congested = False
            self._protocol.resume_writing()

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(error)

    def _fail(self, error: Exception) -> None:
        """Its protocol has raised: this connection ends, and the loop goes on."""
        self._loop.call_exception_handler(
            {"message": "a connection of the data path failed", "exception": error}
        )
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        """The connection is over; the protocol is told soon, and once."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._unsent.clear()
        self._unsent_size = 0
        self._readiness.forget(self._descriptor)
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
            # It holds this: a cycle would keep both until garbage is collected.
            self._protocol = self._receive = None  # type: ignore[assignment]
