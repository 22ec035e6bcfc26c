"""One TCP connection of the data path.

It is what our protocols use of an `asyncio.Transport`, and behaves as one does, so
that they run on that of asyncio too, which a connection with TLS has.
"""

import asyncio
import select
import socket
from typing import Protocol, cast

from enforcement_gateway.sockets import kernel
from enforcement_gateway.sockets.readiness import USUAL, Readiness
from enforcement_gateway.sockets.watched import Watched

READS_IN_A_ROW = 8
"""How often one connection is read before others have their turn."""

HIGH_WATER = 64 * 1024
"""Unsent octets above which the protocol is told to pause; at a quarter, to go on."""

LARGEST_PIECE = 256 * 1024
"""Octets that are copied to be sent again, after the kernel took only the start."""

_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
"""What the kernel tells: changes. It is asked for them once, when the connection comes,
and not again when that waits for something else."""

_USUAL = USUAL  # a plain number in C
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


def own_or_none(transport: object) -> "SocketTransport | None":
    """It, if it is one of ours: C calls its methods as C does, and no others'."""
    return transport if isinstance(transport, SocketTransport) else None


class SocketTransport(Watched):
    """Moves octets between a connected socket and a protocol. It owns the socket.

    It is plain while it is to be read, stays open, and has no more to send than one
    piece that was not tried yet. What is usual then looks at nothing else; whatever
    makes a difference to that ends with `_settle`.
    `unsent` is the piece that is sent next, and empty when everything was sent.
    """

    __slots__ = (
        "_behind",
        "_behind_size",
        "_blocked",
        "_closing",
        "_congested",
        "_descriptor",
        "_ended",
        "_high_water",
        "_loop",
        "_lost",
        "_paused",
        "_plain",
        "_protocol",
        "_readiness",
        "_receive",
        "_shuts",
        "_socket",
        "_start",
        "_stirred",
        "_written",
        "unsent",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readiness: Readiness,
        connected: socket.socket,
        protocol: Receiver,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._readiness = readiness
        self._socket = connected
        self._descriptor = connected.fileno()
        self._protocol = protocol
        self._receive = self.receive = protocol.data_received
        self._written = readiness.written
        self._plain = True
        self.unsent = b""
        self._start = 0  # how much of it is sent
        self._behind: list[bytes] = []  # what is to be sent then
        self._behind_size = 0
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
            self.fail(error)
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
        return len(self.unsent) - self._start + self._behind_size

    def set_write_buffer_limits(self, high: int) -> None:
        self._high_water = high

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        """Send it soon: when all who were told by the kernel have written theirs."""
        if self.unsent or not (self._plain and data):
            self._write_behind(data)
            return
        self.unsent = data
        if len(data) > self._high_water:
            self.flush()
        else:
            self._written.append(self)

    def write_now(self, data: bytes) -> None:
        """As `write`, of what is said when a turn ends: nobody else has to be heard."""
        if self.unsent or not self._plain:
            self.write(data)
            return
        try:
            sent = kernel.send(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        if sent < len(data):
            self.unsent = data
            self._note_sent(sent, len(data))
            self._end_flush()

    def write_eof(self) -> None:
        """Close our side when all is sent. What comes is still read."""
        self._shuts = True
        self._settle()
        if not self.unsent:
            self._shut()

    def pause_reading(self) -> None:
        self._paused = True
        self._settle()

    def resume_reading(self) -> None:
        self._paused = False
        self._settle()
        if self._stirred:  # the kernel told it then, and does not repeat itself
            self._stirred = False
            self._loop.call_soon(self.on_ready, _AGAIN)

    def close(self) -> None:
        """Send what is left, then end."""
        if not self._closing:
            self._closing = True
            self._settle()
            if not self.unsent:
                self._lose(None)

    def abort(self) -> None:
        """End now."""
        self._lose(None)

    def demote(self) -> None:
        """Have others heard before it from now on."""
        if not self._lost:
            self._readiness.demote(self._descriptor, self)

    def promote(self) -> None:
        """Have it heard as all others."""
        if not self._lost:
            self._readiness.promote(self._descriptor, self)

    # --- told by the kernel ---

    def on_ready(self, events: int) -> None:
        """Send what waits, and read until nothing is left.

        Fewer octets than were asked for say so, unless the end of them was told with
        them: that is no news that the kernel repeats.
        """
        if (events != _USUAL or not self._plain) and not self._is_to_read(events):
            return
        reads = 0
        try:
            while True:
                try:
                    data = kernel.receive(self._descriptor, kernel.READ_SIZE)
                except BlockingIOError:
                    return
                except OSError as error:
                    self._lose(error)
                    return
                if not data:
                    self._hear_end()
                    return
                receive = self._receive
                receive(data)
                if len(data) < kernel.READ_SIZE and not events & _ENDED:
                    return
                reads += 1
                if reads == READS_IN_A_ROW:
                    break
                if not self._plain and not self._is_to_read(_AGAIN):
                    return
        except Exception as error:  # noqa: BLE001 - the loop serves all the others
            self.fail(error)
            return
        self._loop.call_soon(self.on_ready, _AGAIN)

    def go_on(self, read: bytes | OSError) -> None:
        if isinstance(read, OSError):
            if not isinstance(read, BlockingIOError):
                self._lose(read)
            return
        if read:
            try:
                self._receive(read)
            except Exception as error:  # noqa: BLE001 - the loop serves all the others
                self.fail(error)
                return
        self.on_ready(_AGAIN)  # there may be more; an end is there to be read again

    def fail(self, error: Exception) -> None:
        """Its protocol has raised: this connection ends, and the loop goes on."""
        self._loop.call_exception_handler(
            {"message": "a connection of the data path failed", "exception": error}
        )
        self._lose(error)

    def flush(self) -> None:
        """Send as much of what is unsent as the kernel takes."""
        is_plain = self._plain
        data = self.unsent if is_plain else self._next_to_send()
        while data:
            try:
                sent = kernel.send(self._descriptor, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            if is_plain and sent == len(data):
                self.unsent = b""
                return
            self._note_sent(sent, len(data))
            data = self._next_to_send()
        self._end_flush()

    # --- inside ---

    def _is_to_read(self, events: int) -> bool:
        """Whether to read now. Sends first what has waited for room."""
        if self._lost:
            return False  # it was told before, and waited
        if self._blocked and events & _WRITABLE:
            self._blocked = False
            self.flush()
        if self._closing or not events & _READABLE:
            return False
        if self._ended:
            if events & _BROKEN:
                self._lose(None)
            return False
        if self._paused:
            self._stirred = True
            return False
        return True

    def _hear_end(self) -> None:
        self._ended = True
        if not self._protocol.eof_received():
            self.close()

    def _write_behind(self, data: bytes) -> None:
        """As `write` does where something is not plain, or about to be so."""
        if self._closing or not data:
            return
        if self.unsent:
            self._behind.append(data)
            self._behind_size += len(data)
            self._settle()
        else:
            self.unsent = data
            self._written.append(self)
        if self.get_write_buffer_size() > self._high_water:
            if self._blocked:
                self._tell_of_congestion()
            else:
                self.flush()

    def _next_to_send(self) -> bytes:
        """In one piece, if that is not large; nothing while the kernel takes none."""
        if self._blocked:
            return b""
        start = self._start
        if start:
            return self.unsent[start : start + LARGEST_PIECE]
        if self._behind and self.get_write_buffer_size() <= HIGH_WATER:
            self.unsent = b"".join((self.unsent, *self._behind))
            self._behind.clear()
            self._behind_size = 0
        return self.unsent

    def _note_sent(self, sent: int, offered: int) -> None:
        """The kernel took as much of what it was offered."""
        self._start += sent
        if sent < offered:
            self._blocked = True  # until the kernel tells that there is room
            self._settle()
        elif self._start == len(self.unsent):
            self._start = 0
            self.unsent = b""
            if self._behind:
                self.unsent = self._behind.pop(0)
                self._behind_size -= len(self.unsent)

    def _end_flush(self) -> None:
        """Tell of what was sent, or could not be, and do what had to wait for it."""
        if self._congested or self.unsent:
            try:
                self._tell_of_congestion()
            except Exception as error:  # noqa: BLE001 - the loop serves all the others
                self.fail(error)
                return
        if not self.unsent:
            if self._closing:
                self._lose(None)
                return
            if self._shuts:
                self._shut()
            self._settle()

    def _settle(self) -> None:
        """Find out whether it is plain.

        An end of the other side needs no look: the kernel tells it with all that is
        ready from then on, which is not usual.
        """
        self._plain = not (
            self._closing
            or self._shuts
            or self._paused
            or self._blocked
            or self._behind
        )
        self.receive = self._receive if self._plain else None

    def _tell_of_congestion(self) -> None:
        unsent = self.get_write_buffer_size()
        if unsent > self._high_water:
            if not self._congested:
                self._congested = True
                self._protocol.pause_writing()
        elif self._congested and 4 * unsent <= self._high_water:
            self._congested = False
            self._protocol.resume_writing()

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        """The connection is over; the protocol is told soon, and once."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._settle()
        self.unsent = b""
        self._start = 0
        self._behind.clear()
        self._behind_size = 0
        self._readiness.forget(self._descriptor)
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
            # It holds this: a cycle would keep both until garbage is collected.
            self._protocol = self._receive = None  # type: ignore[assignment]
