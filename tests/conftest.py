"""Real servers for whoever asks for them; a run that needs none starts none.

Where they come from is told in `local_stack/testing.py`.

| fixture | scope | gives |
|---|---|---|
| `postgres_url` | session | URL of a Postgres, as superuser |
| `make_database` | function | `await make_database()`: an empty `Database` |
| `database` | function | one such database |
| `amqp_url` | session | URL of a RabbitMQ, as administrator |
| `virtual_host` | module | a `VirtualHost` of its own, with both exchanges |
| `private_postgres` | function | a `Postgres` to kill, pause and restart |
| `private_rabbitmq` | module | the same with a `RabbitMQ`, up again for each test |

What is made is gone afterwards. The methods of the private servers block:
`await asyncio.to_thread(private_postgres.start)`.

`make test` runs a process for each core, with servers of its own each. A module stays
in one of them (`--dist loadfile`), so that what it shares is made once.
"""

import faulthandler
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from local_stack.databases import Database, temporary_database
from local_stack.postgres import Postgres
from local_stack.rabbitmq import RabbitMQ
from local_stack.testing import AMQP_URL, Broker, TestRun, VirtualHost

# An example may be slow on a busy machine; the timeout of the test is limit enough.
settings.register_profile("tollgate", deadline=None)
settings.load_profile("tollgate")

LOCAL = Path(__file__).parents[1] / ".local"
LAST_WORDS = "test-servers"
MOST_PROCESSES = 4
"""Each has a Postgres and a RabbitMQ: more of them want more memory than they save."""

LONGEST_TEARDOWN = 120
"""Seconds. Servers that are asked to stop, and do, take a tenth of it."""

_STDERR = pytest.StashKey[int]()

MakeDatabase = Callable[[], Awaitable[Database]]


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means. A virtual host that is given serves one at a time."""
    if AMQP_URL in os.environ:
        return 1
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        for old in LOCAL.glob(f"{LAST_WORDS}*.log"):
            old.unlink()
    config.stash[_STDERR] = os.dup(2)  # what is captured during a test is another


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_STDERR])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """End a process that does not come back, having said where its threads are.

    The timeout of a test stops when that fails. What it left behind, a thread that
    reads what nobody writes any more, could be waited for without end.
    """
    faulthandler.dump_traceback_later(
        LONGEST_TEARDOWN, file=item.config.stash[_STDERR], exit=True
    )
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[TestRun]:
    run = TestRun(LOCAL)
    yield run
    if request.session.testsfailed:
        process = os.environ.get("PYTEST_XDIST_WORKER", "")
        (LOCAL / f"{LAST_WORDS}{process}.log").write_text(run.logs())
    run.close()


@pytest.fixture(scope="session")
def postgres_url(servers: TestRun) -> str:
    return servers.open_postgres()


@pytest.fixture
async def make_database(postgres_url: str) -> AsyncIterator[MakeDatabase]:
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(temporary_database(postgres_url))


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database()


@pytest.fixture(scope="session")
def broker(servers: TestRun) -> Broker:
    return servers.open_broker()


@pytest.fixture(scope="session")
def amqp_url(broker: Broker) -> str:
    return broker.url


@pytest.fixture(scope="module")
def virtual_host(broker: Broker) -> VirtualHost:
    return broker.new_virtual_host()


@pytest.fixture
def private_postgres(servers: TestRun) -> Iterator[Postgres]:
    server = servers.start_postgres()
    yield server
    server.discard()


@pytest.fixture(scope="module")
def module_rabbitmq(servers: TestRun) -> Iterator[RabbitMQ]:
    server = servers.start_rabbitmq()
    yield server
    server.discard()


@pytest.fixture
def private_rabbitmq(module_rabbitmq: RabbitMQ) -> RabbitMQ:
    module_rabbitmq.resume()
    module_rabbitmq.start()
    return module_rabbitmq
