"""A tracking API that answers at once: what stands behind every proxy measured here.

`python -m bench.traffic.upstream PORT`. It answers each POST as soon as its body is
there, and a GET with the number of POSTs so far. It shares a core with the load, so it
must cost little: a plain loop over epoll does, where nginx with `return 200` takes a
fifth more. It believes what it reads; only proxies under test send to it.
"""

import contextlib
import resource
import select
import socket
import sys

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b'Content-Length: 17\r\n\r\n{"success": true}'
)
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_BACKLOG = 4096
_LARGEST_READ = 1 << 20


class Upstream:
    """One thread, any number of keep-alive connections."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._missing: dict[int, int] = {}  # bytes of the body that are still to come
        self._buffer = bytearray(_LARGEST_READ)
        self._posts = 0

    def run(self) -> None:
        """Serve for ever."""
        listening = self._listener.fileno()
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == listening:
                    self._accept()
                else:
                    self._read(descriptor)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection
        self._missing[connection.fileno()] = 0
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        connection = self._connections[descriptor]
        size = 0
        with contextlib.suppress(ConnectionError):
            size = connection.recv_into(self._buffer)
        if not size:
            self._epoll.unregister(descriptor)
            del self._connections[descriptor], self._missing[descriptor]
            connection.close()
            return
        missing = self._missing[descriptor]
        if missing:
            missing -= size
        elif self._buffer.startswith(b"GET "):
            body = str(self._posts).encode()
            connection.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            return
        else:
            missing = self._missing_after(size)
        self._missing[descriptor] = missing
        if not missing:
            self._posts += 1
            connection.send(_ANSWER)

    def _missing_after(self, size: int) -> int:
        """How much of its body the first read of a request left out.

        A head fits into one segment of the loopback device, so it is never split.
        """
        end = self._buffer.index(_END_OF_HEAD, 0, size)
        head = self._buffer[:end].lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        line, _, _ = head[at:].partition(b"\r")
        return int(line) - (size - end - len(_END_OF_HEAD))


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Upstream(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
