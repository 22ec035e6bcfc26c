"""Kept-alive connections to one upstream, and a limit to how many wait for it.

A request is written to exactly one connection, once: whether an upstream that went
silent has taken the events is not ours to guess (RFC 9110 §9.2.2).
"""

import asyncio
import socket
import ssl
from typing import cast
from urllib.parse import urlsplit

import msgspec
import structlog
from aiohappyeyeballs import start_connection

from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.sockets.loop import running_loop
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answers import Answers
from enforcement_gateway.upstream.connection import Owner, UpstreamConnection
from enforcement_gateway.upstream.known_answers import KnownAnswers
from enforcement_gateway.upstream.silence import silent_among

MAX_IDLE_SECONDS = 30.0

MAX_PUT_OFF = 64 * 1024
"""Octets of a request that waits for others of its turn. A larger one fills what the
kernel keeps for the upstream, which may as well begin to read it."""

logger = structlog.get_logger(__name__)


class Origin(msgspec.Struct, frozen=True):
    """Where an upstream is. `authority` is its Host, `prefix` stands before paths."""

    host: str
    port: int
    authority: bytes
    prefix: bytes
    is_https: bool

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Parse `http(s)://host[:port][/prefix]`, or raise `ValueError`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an upstream is http://host or https://host")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("an upstream has no query, fragment or user")
        is_https = parts.scheme == "https"
        usual = 443 if is_https else 80
        port = parts.port or usual
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = name if port == usual else f"{name}:{port}"
        return cls(
            parts.hostname,
            port,
            authority.encode("ascii"),
            parts.path.rstrip("/").encode("ascii"),
            is_https,
        )


class Pool(Owner):
    """The connections to one upstream, of one worker."""

    __slots__ = (
        "_answer_timeout",
        "_connect_timeout",
        "_connecting",
        "_counters",
        "_known_answers",
        "_max_connections",
        "_open",
        "_requests",
        "_tls",
        "_turn",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        counters: Counters,
        *,
        max_connections: int,
        connect_timeout: float,
        answer_timeout: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.origin = origin
        self._counters = counters
        self._max_connections = max_connections
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._tls = tls
        self.idle = []
        self._open: set[UpstreamConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._known_answers = KnownAnswers()
        self._requests: list[tuple[bytes, Answers]] = []  # of this turn
        self._turn = turn
        self.clock = 0.0

    def send(self, request: bytes, answers: Answers) -> None:
        """Send `request` soon, on a connection that is free, or on a new one.

        All that a turn of the loop brings is sent when it ends, because the kernel is
        asked about the connections for all of them at once. What is large goes now.
        """
        requests = self._requests
        requests.append((request, answers))
        if len(request) > MAX_PUT_OFF:
            self._send_all()
        elif len(requests) == 1:  # those behind it go when it goes
            self._turn.put_off(self._send_all)

    def send_each(self, requests: list[tuple[bytes, Answers]]) -> None:
        """As `send`, of all of a turn when it ends: now, with what waits for that."""
        self._requests += requests
        self._send_all()

    def adopt(self, connection: UpstreamConnection) -> None:
        """Take a connection that was just made."""
        self._counters.upstream_connections += 1
        self._counters.upstream_connections_now += 1
        self._open.add(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._counters.upstream_connections_now -= 1
        if connection in self.idle:
            self.idle.remove(connection)

    def sweep(self, now: float, *, forgiven: float, next_at: float) -> None:
        """End waits that took too long, and connections nobody needs.

        `forgiven` are seconds in which this process stood still, `next_at` is when this
        is called again; all by the clock of the loop.
        """
        self.clock = next_at
        for connection in list(self._open):
            connection.deadline += forgiven
            if connection.deadline <= now:
                connection.time_out()
        self.idle = silent_among(self.idle)
        while self.idle and self.idle[0].idle_since + MAX_IDLE_SECONDS < now:
            self.idle.pop(0).close()

    async def close(self) -> None:
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in list(self._open):
            connection.close()

    def _send_all(self) -> None:
        """Send what was put off, each on a connection of its own."""
        requests, self._requests = self._requests, []
        silent = self._take_silent(len(requests))
        for request, answers in requests:
            connection = silent.pop() if silent else None
            try:
                if connection is not None:
                    connection.send(request, answers)
                else:
                    self._send_on_new(request, answers)
            except Exception:
                # Whatever it was, somebody waits for an answer, and so do the others.
                logger.exception("request not sent", host=self.origin.host)
                if connection is not None:
                    connection.break_off()
                else:
                    answers.answer_failed(Reason.UPSTREAM_UNREACHABLE)

    def _take_silent(self, wanted: int) -> list[UpstreamConnection]:
        """So many connections, if as many are free; that to be used first comes last.

        The one used last is used next, so that the others grow old and are closed.
        """
        idle = self.idle
        taken: list[UpstreamConnection] = []
        while idle and len(taken) < wanted:
            start = max(len(idle) - (wanted - len(taken)), 0)
            asked = idle[start:]
            del idle[start:]
            taken = silent_among(asked) + taken
        return taken

    def _send_on_new(self, request: bytes, answers: Answers) -> None:
        if len(self._open) + len(self._connecting) >= self._max_connections:
            answers.answer_failed(Reason.UPSTREAM_BUSY)
            return
        task = asyncio.create_task(self._connect(request, answers))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, request: bytes, answers: Answers) -> None:
        origin = self.origin
        connection = UpstreamConnection(self, self._answer_timeout, self._known_answers)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await self._reach(origin, connection)
        except TimeoutError:
            answers.answer_failed(Reason.UPSTREAM_CONNECT_TIMEOUT)
            return
        except OSError:  # refused, unreachable, no such name, TLS that does not verify
            answers.answer_failed(Reason.UPSTREAM_UNREACHABLE)
            return
        except Exception:
            # Whatever it was, somebody waits for an answer.
            logger.exception("upstream connection failed", host=origin.host)
            answers.answer_failed(Reason.UPSTREAM_UNREACHABLE)
            return
        if connection.is_closed:  # accepted, and ended before it was of any use
            answers.answer_failed(Reason.UPSTREAM_CLOSED)
            return
        # Its task ends a turn of the loop later, and would be counted beside it.
        self._connecting.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self.adopt(connection)
        connection.send(request, answers)

    async def _reach(self, origin: Origin, connection: UpstreamConnection) -> None:
        """Connect to one of its addresses, in their order."""
        loop = running_loop()
        try:  # an address needs no thread that asks for it
            addresses = socket.getaddrinfo(
                origin.host,
                origin.port,
                type=socket.SOCK_STREAM,
                flags=socket.AI_NUMERICHOST,
            )
        except socket.gaierror:
            addresses = await loop.getaddrinfo(
                origin.host, origin.port, type=socket.SOCK_STREAM
            )
        connected = await start_connection(addresses, loop=loop)
        if self._tls is None:
            loop.attach(connected, connection)
        else:
            await loop.create_connection(
                lambda: cast("asyncio.Protocol", connection),
                sock=connected,
                ssl=self._tls,
                server_hostname=origin.host,
            )
