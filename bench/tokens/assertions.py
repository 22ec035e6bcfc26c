"""Token requests made beforehand, each with an assertion of its own.

Signing one costs thirty times what verifying it does, so it is no work for the load
while it measures. All cores sign while nothing is measured.
"""

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Self

import msgspec

from bench.measuring.cores import Cores
from tollgate.oauth.client_assertion import CLIENT_ASSERTION_TYPE
from tollgate.oauth.signing_keys import SigningKey, load_signing_key
from tollgate.testing.tokens import client_assertion


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where tokens are asked for, as whom; `key` is a PEM block.

    Several clients, which all have that key, ask in turns.
    """

    issuer: str
    port: int
    client_ids: tuple[str, ...]
    key: str


class Signers:
    """A process on each core, idle while nothing is to be signed."""

    def __init__(self, cores: Cores) -> None:
        self._cores = (cores.under_test, *cores.load)
        self._pool = ProcessPoolExecutor(len(self._cores), get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    async def sign(
        self, endpoint: Endpoint, count: int, *, first: int = 0
    ) -> list[bytes]:
        """So many requests as Segment's Python SDK writes them, good for a minute.

        They go on at the client whose turn it is after `first` requests.
        """
        share = -(-count // len(self._cores))
        loop = asyncio.get_running_loop()
        parts = [
            loop.run_in_executor(
                self._pool,
                partial(_sign, endpoint, first + number * share, share, core),
            )
            for number, core in enumerate(self._cores)
        ]
        return [request for part in parts for request in await part][:count]


def _sign(endpoint: Endpoint, first: int, count: int, core: int) -> list[bytes]:
    import os  # noqa: PLC0415 - in a process of its own

    os.sched_setaffinity(0, {core})
    key = load_signing_key(endpoint.key.encode())
    now = time.time()
    clients = endpoint.client_ids
    return [
        _request(endpoint, clients[number % len(clients)], key, now)
        for number in range(first, first + count)
    ]


def _request(endpoint: Endpoint, client_id: str, key: SigningKey, now: float) -> bytes:
    assertion = client_assertion(
        key, client_id=client_id, issuer=endpoint.issuer, now=now
    )
    # By hand, with colons as they are: so the SDK does it.
    body = (
        "grant_type=client_credentials"
        f"&client_assertion_type={CLIENT_ASSERTION_TYPE}"
        f"&client_assertion={assertion}"
        "&scope=tracking_api:write"
    )
    return (
        "POST /token HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{endpoint.port}\r\n"
        "User-Agent: python-requests/2.34.0\r\n"
        "Accept-Encoding: gzip, deflate\r\n"
        "Accept: */*\r\n"
        "Connection: keep-alive\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n"
        "\r\n"
        f"{body}"
    ).encode()
