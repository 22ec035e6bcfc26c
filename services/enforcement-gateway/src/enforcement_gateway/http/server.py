"""What the connections of one worker share."""

import asyncio
import contextlib
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from itertools import chain, count
from typing import TYPE_CHECKING

import msgspec

from enforcement_gateway.counters import Counters
from enforcement_gateway.gate import Gate
from enforcement_gateway.http.head_template import Templates
from enforcement_gateway.http.refusal_log import RefusalLog
from enforcement_gateway.http.regulars import Regulars
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.strangers import Strangers
from enforcement_gateway.upstream.forwarding import Peer, UpstreamAuthorization
from enforcement_gateway.upstream.pool import Pool
from enforcement_gateway.verification import Burst

if TYPE_CHECKING:
    from enforcement_gateway.http.protocol import ServerConnection

LINGER_SECONDS = 2.0

MOST_ASKED = 16
"""Connections that are asked to give way before a newcomer is told of too many."""

_LAST_DIGITS = (b"", *(b"%x\n" % digit for digit in range(15)), b"f")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the data port bears. Octets, and seconds."""

    body: int = 1024 * 1024
    inflated: int = 2 * 1024 * 1024
    unfinished_bodies: int = 64 * 1024 * 1024
    connections: int = 10_000
    grace_seconds: float = 1.0
    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0
    sweep_seconds: float = 0.5


class Behind(msgspec.Struct, frozen=True):
    """The upstream behind a door, and what it gets to see of credentials.

    `prefix` is cut off the path before it is passed on.
    """

    pool: Pool
    authorization: UpstreamAuthorization
    prefix: bytes = b""


class Server:
    """The connections, their limits, and the ways onward.

    `clock` is that of the loop at the next look at deadlines, which are counted from
    it: they are never early, and late by no more than the time between two looks.
    `idle_until` is the deadline of a connection on which nothing is under way now.
    `giving_way` are those of which nothing was let in since they came or were refused,
    the longest first, and what the clock said then.
    `request_ids` are those to come, unique without asking for random bits each time:
    they are counted.
    """

    __slots__ = (
        "_emptied",
        "_prefix",
        "_sweeper",
        "_trusted_proxies",
        "admin_prefix",
        "behind",
        "clock",
        "connections",
        "counters",
        "draining",
        "gate",
        "giving_way",
        "idle_seconds",
        "idle_until",
        "limits",
        "max_body",
        "reader",
        "refusals",
        "regulars",
        "request_ids",
        "signatures",
        "strangers",
        "tasks",
        "templates",
    )

    def __init__(
        self,
        gate: Gate,
        counters: Counters,
        behind: Mapping[Door, Behind],
        *,
        limits: Limits,
        admin_prefix: bytes | None = None,
        trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = (),
    ) -> None:
        self.gate = gate
        self.counters = counters
        self.behind = behind
        self.limits = limits
        self.max_body = limits.body
        self.idle_seconds = limits.idle_seconds
        self.clock = 0.0
        self.idle_until = self.clock + self.idle_seconds
        self.admin_prefix = admin_prefix
        self.draining = False
        self.connections: set[ServerConnection] = set()
        self.giving_way: OrderedDict[ServerConnection, float] = OrderedDict()
        self.tasks: set[asyncio.Task[None]] = set()
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="strict reader")
        self.refusals = RefusalLog()
        self.signatures = Burst(gate.verifier, counters)
        self.templates = Templates()
        self._trusted_proxies = trusted_proxies
        self._prefix = secrets.token_hex(8).encode() + b"-"
        self.request_ids = chain.from_iterable(map(self._sixteen_ids, count()))
        self.regulars = Regulars(self)
        self.strangers = Strangers(self)
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    def peer_of(self, transport: asyncio.BaseTransport) -> Peer:
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else "unknown"
        return Peer(
            address.encode(),
            transport.get_extra_info("ssl_object") is not None,
            self._is_trusted(address),
        )

    def start(self) -> None:
        self._sweep()

    def connection_ended(self, connection: "ServerConnection") -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self.giving_way.pop(connection, None)
            self.counters.connections_now -= 1
        if self.draining and not self.connections:
            self._emptied.set()

    def make_room(self, shaking: int = 0) -> bool:
        """Whether one more may come; another gives way for it if that is needed.

        `shaking` is with how many TLS is being agreed, who are to have places, too.
        """
        taken = len(self.connections) + shaking
        return taken < self.limits.connections or self._displace_one()

    def _displace_one(self) -> bool:
        """Close the one of which nothing was let in for longest, if that is long."""
        giving_way = self.giving_way
        for _ in range(min(MOST_ASKED, len(giving_way))):
            connection = next(iter(giving_way))
            if giving_way[connection] + self.limits.grace_seconds > self.clock:
                return False
            if connection.give_way():
                self.connection_ended(connection)
                self.counters.connections_displaced += 1
                return True
            giving_way[connection] = self.clock
            giving_way.move_to_end(connection)
        return False

    def _sixteen_ids(self, number: int) -> list[bytes]:
        """Those with all their digits but the last in common; the first is 1."""
        start = self._prefix + b"%x" % number if number else self._prefix
        # As lines of one text: to add octets to others costs three times as much.
        ids = start.join(_LAST_DIGITS).split(b"\n")
        return ids if number else ids[1:]

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted_proxies:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted_proxies)

    def _sweep(self) -> None:
        """Look after every deadline at once: no timer is set for a request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        pause = self.limits.sweep_seconds
        late = now - self.clock
        # A process that stood still was late itself: others get that time, too.
        forgiven = late if late > pause else 0.0
        self.clock = now + pause
        self.idle_until = self.clock + self.idle_seconds
        self.refusals.renew(now)
        for connection in list(self.connections):
            connection.deadline += forgiven
            if connection.deadline <= now:
                connection.time_out()
        for pool in {id(way.pool): way.pool for way in self.behind.values()}.values():
            pool.sweep(now, forgiven=forgiven, next_at=self.clock)
        self._sweeper = loop.call_later(pause, self._sweep)

    async def drain(self, patience: timedelta) -> None:
        """Finish what was accepted, then close; what takes longer is cut off.

        Connections that carry nothing are given a moment, because a request may be
        on its way on them; it is answered, and told that the connection ends.
        """
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience.total_seconds()):
                    await self._emptied.wait()
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.reader.shutdown(wait=False, cancel_futures=True)
        for way in self.behind.values():
            await way.pool.close()
