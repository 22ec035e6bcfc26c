"""A subscriber killed at any moment goes on from its snapshot and misses nothing."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from tollgate.messaging.feed import Feed, FeedReader
from tollgate.messaging.metrics import FeedMetrics
from tollgate.settings import Secret
from tollgate.testing.waiting import until

from .conftest import READER, World

PROGRAM = Path(__file__).with_name("subscriber_process.py")
SECRET = "killed-secret-0123456789"
ROUNDS = 4


async def test_a_killed_subscriber_resumes_and_equals_a_fold_of_the_log(
    world: World, tmp_path: Path
) -> None:
    feed = Feed(
        [world.source],
        [
            FeedReader(
                name=READER, secrets=(Secret(SECRET),), logs=frozenset({"registry"})
            )
        ],
        metrics=FeedMetrics(CollectorRegistry()),
    )

    def confirmed() -> int:
        return max((each.position for each in feed.confirmations()), default=0)

    def started() -> AbstractAsyncContextManager[Process]:
        return subscriber(
            url, world.url_of(READER), str(tmp_path / "view.snapshot"), SECRET
        )

    async with world.relay(), serving(feed) as url, loaded(world) as stop:
        started_at = []
        for _ in range(ROUNDS):
            async with started() as process:
                first = await told(process)
                started_at.append(first["position"])
                target = (await world.log.head()).position + 30
                await until(lambda: confirmed() > target)  # noqa: B023
                process.kill()
                assert await process.wait() == -signal.SIGKILL
        await stop()
        async with started() as process:
            assert (await told(process))["restored"]
            head = (await world.log.head()).position
            await until(lambda: confirmed() == head)
            process.terminate()
            last = await told(process)
            assert await process.wait() == os.EX_OK
        assert last["position"] == head
        assert last["state"] == hashlib.sha256(await world.fold()).hexdigest()
        assert started_at == sorted(started_at)
        assert started_at[-1] > 0


@asynccontextmanager
async def subscriber(*arguments: str) -> AsyncIterator[Process]:
    """The program, which does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, *arguments, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told(process: Process) -> dict[str, Any]:
    """The next line of JSON that the process says."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while not (line := await process.stdout.readline()).startswith(b"{"):
            assert line, "the process ended without a word"
    return json.loads(line)  # type: ignore[no-any-return]


@asynccontextmanager
async def serving(feed: Feed) -> AsyncIterator[str]:
    application = web.Application()
    application.add_routes(feed.routes())
    async with TestServer(application) as server:
        yield str(server.make_url("/"))


@asynccontextmanager
async def loaded(world: World) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Append all the time until told to stop."""
    going = True

    async def load() -> None:
        while going:
            await world.append(1)
            await world.notifications.wait(
                "registry", after=world.notifications.heard("registry"), at_most=0.01
            )

    async def stop() -> None:
        nonlocal going
        going = False
        await task

    task = asyncio.create_task(load())
    try:
        yield stop
    finally:
        await stop()
