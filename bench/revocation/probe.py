"""Asks one worker of a gateway about one token, again and again, until it says no."""

import asyncio
import re
from pathlib import Path

from bench.measuring.failures import CannotMeasure
from enforcement_gateway.testing.process import batch

INTERVAL = 0.0005
"""Seconds between requests: how exactly a refusal is timed, at most."""

TRIES = 200
"""Connections opened to reach every worker: the kernel chooses who gets one."""

_PASSED, _REFUSED = b"200", b"401"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Probe(asyncio.Protocol):
    """A kept-alive connection to one worker; one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answered: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length.group(1)):
            return
        self._received = b""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(head[9:12])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(CannotMeasure(f"a connection broke: {exc}"))

    @property
    def port(self) -> int:
        """Our end of the connection."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def passes(self, write_key: str, token: str) -> bool:
        """Whether one request with that token passes now."""
        return await self._ask(batch(write_key, token))

    async def first_refusal(self, write_key: str, token: str) -> float:
        """When the first refusal arrived, on the loop's clock."""
        request = batch(write_key, token)
        while True:
            sent = self._loop.time()
            if not await self._ask(request):
                return self._loop.time()
            await asyncio.sleep(max(0.0, sent + INTERVAL - self._loop.time()))

    async def _ask(self, request: bytes) -> bool:
        assert self._transport is not None
        self._answered = self._loop.create_future()
        self._transport.write(request)
        status = await self._answered
        if status not in {_PASSED, _REFUSED}:
            raise CannotMeasure(f"a probe was answered with {status.decode()}")
        return status == _PASSED


async def probe_each(port: int, workers: list[int]) -> list[Probe]:
    """One probe for each of the processes that share the port."""
    loop = asyncio.get_running_loop()
    found: dict[int, Probe] = {}
    for _ in range(TRIES):
        _, probe = await loop.create_connection(Probe, "127.0.0.1", port)
        owner = _owner_of(port, probe, set(workers) - set(found))
        if owner is None:
            probe.close()
        else:
            found[owner] = probe
        if len(found) == len(workers):
            return list(found.values())
    raise CannotMeasure("the kernel gave some worker no connection")


def _owner_of(port: int, probe: Probe, workers: set[int]) -> int | None:
    """Which of the workers has accepted the connection, if any of them has."""
    wanted = f"socket:[{_inode(port, probe.port)}]"
    for pid in workers:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(link.readlink()) == wanted:
                    return pid
            except FileNotFoundError:
                continue  # closed since
    return None


def _inode(local: int, remote: int) -> str:
    """That of the accepted end of a connection on the loopback, see proc(5)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = (int(each.partition(":")[2], 16) for each in fields[1:3])
        if tuple(ports) == (local, remote):
            return fields[9]
    return ""
