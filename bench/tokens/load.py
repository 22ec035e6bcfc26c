"""Asks for tokens over kept-alive connections, one request a connection at a time.

The answers are kept and looked at afterwards: while it measures, the load does as
little as it can.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import cast

import msgspec

from bench.measuring.failures import CannotMeasure

CONNECTIONS = 32

PATIENCE = 60.0
"""Seconds for all answers: an assertion is good for no longer."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


class _Answer(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str
    expires_in: int


class Exchanged(msgspec.Struct, frozen=True):
    """Every request was answered with a token: `tokens`, in `seconds` together."""

    tokens: list[str]
    seconds: float
    latencies: list[float]
    """Seconds, in ascending order."""

    @property
    def per_second(self) -> float:
        return len(self.tokens) / self.seconds

    def quantile(self, share: float) -> float:
        return self.latencies[int(share * (len(self.latencies) - 1))]


async def exchange(ports: Sequence[int], requests: list[bytes]) -> Exchanged:
    """Send all `requests`, or `CannotMeasure` if one is not answered with a token.

    The connections are spread evenly over `ports`.
    """
    load = _Load(requests)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for number in range(min(CONNECTIONS, len(requests))):
        port = ports[number % len(ports)]
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            await load.finished
    except TimeoutError:
        raise CannotMeasure("the token endpoint does not answer") from None
    seconds = time.perf_counter() - started
    tokens = [_token_of(answer) for answer in load.answers]
    return Exchanged(tokens, seconds, sorted(load.latencies))


class _Load:
    def __init__(self, requests: list[bytes]) -> None:
        self.requests = iter(requests)
        self.expected = len(requests)
        self.answers: list[bytes] = []
        self.latencies: list[float] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, answer: bytes, latency: float) -> None:
        self.answers.append(answer)
        self.latencies.append(latency)
        if len(self.answers) == self.expected:
            self.finished.set_result(None)

    def lost(self) -> None:
        if not self.finished.done():
            self.finished.set_exception(
                CannotMeasure("the token endpoint closed a connection")
            )


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""
        self._sent_at = 0.0
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an instance of it, but one in all it does: uvloop has its own.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        end = received.find(_END_OF_HEAD)
        if end < 0:
            return
        length = _LENGTH.search(received, 0, end + 2)
        if length is None:
            self._load.lost()
            return
        if len(received) < end + len(_END_OF_HEAD) + int(length[1]):
            return
        self._received = b""
        self._load.answered(received, time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        if self._waits:
            self._load.lost()

    def _send(self) -> None:
        request = next(self._load.requests, None)
        self._waits = request is not None
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def _token_of(answer: bytes) -> str:
    head, _, body = answer.partition(_END_OF_HEAD)
    if not head.startswith(b"HTTP/1.1 200 "):
        status = head.partition(b"\r\n")[0].decode(errors="replace")
        said = body[:300].decode(errors="replace")
        raise CannotMeasure(f"no token but {status}: {said}")
    try:
        decoded = msgspec.json.decode(body, type=_Answer)
    except msgspec.MsgspecError as error:
        raise CannotMeasure(f"no token answer: {error}") from None
    return decoded.access_token
