"""One registry for all tests of a module: each has workspaces of its own in it.

It runs in a thread, because every test has an event loop of its own.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.integration.app_registry.conftest import serving, settings_for

from app_registry import bootstrap
from local_stack.databases import Database, temporary_database
from tollgate.settings import Secret

TIMEOUT = 60.0


@dataclass(frozen=True)
class Served:
    """A registry that answers at `url`, and its database."""

    url: str
    database: Database


@asynccontextmanager
async def open_registry(postgres_url: str) -> AsyncIterator[Served]:
    async with temporary_database(postgres_url) as database:
        await bootstrap.migrate(
            Secret(database.owner_url), Secret(database.service_url)
        )
        async with serving(settings_for(database)) as url:
            yield Served(url, database)


@contextmanager
def in_a_thread(open_it: Callable[[], Any]) -> Iterator[Any]:
    """What an asynchronous context manager opens, kept open by a loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(TIMEOUT)

    try:
        yield run(stack.enter_async_context(open_it()))
    finally:
        run(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def served(postgres_url: str) -> Iterator[Served]:
    with in_a_thread(lambda: open_registry(postgres_url)) as served:
        yield served


@pytest.fixture
def registry_database(served: Served) -> Database:
    return served.database


@pytest.fixture
def registry_url(served: Served) -> str:
    return served.url
