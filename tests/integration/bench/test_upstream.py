"""The stand-in upstream answers every request once, however its bytes arrive."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from bench import ROOT
from bench.traffic.batches import batch, post
from local_stack.ports import free_ports
from tollgate.testing.raw_http import RawClient
from tollgate.testing.waiting import until

ANSWER = b'{"success": true}'


@pytest.fixture
async def port() -> AsyncIterator[int]:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.traffic.upstream", str(port), cwd=ROOT
    )
    try:
        await until(lambda: listens(port))
        yield port
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def client(port: int) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(port)
    yield client
    await client.close()


async def listens(port: int) -> bool:
    try:
        client = await RawClient.connect(port)
    except ConnectionRefusedError:
        return False
    await client.close()
    return True


async def count(port: int) -> bytes:
    client = await RawClient.connect(port)
    try:
        return (await client.ask(b"GET / HTTP/1.1\r\n\r\n")).body
    finally:
        await client.close()


async def test_a_connection_serves_many_and_the_posts_are_counted(
    client: RawClient, port: int
) -> None:
    for _ in range(3):
        answer = await client.ask(post(batch("key"), "token"))
        assert (answer.status, answer.body) == (200, ANSWER)

    assert await count(port) == b"3"


async def test_a_large_body_is_answered_when_all_of_it_is_there(
    client: RawClient, port: int
) -> None:
    request = post(batch("key", events=100, event_bytes=20_000), "token")
    half = len(request) // 2
    await client.send(request[:half])
    assert await count(port) == b"0"

    answer = await client.ask(request[half:])

    assert (answer.status, answer.body) == (200, ANSWER)
    assert await count(port) == b"1"


async def test_a_length_in_any_case_is_read(client: RawClient) -> None:
    answer = await client.ask(b"POST / HTTP/1.1\r\ncontent-LENGTH: 2\r\n\r\n{}")

    assert answer.body == ANSWER


async def test_one_that_closes_does_not_stop_the_others(
    client: RawClient, port: int
) -> None:
    await client.ask(post(b"{}", "token"))
    await client.close()

    assert await count(port) == b"1"
