"""A migrated log in a database of its own."""

from collections.abc import AsyncIterator

import pytest

from local_stack.databases import Database
from tollgate.database import Connection, connect, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.migrations import event_log_migrations, migrate


@pytest.fixture
async def database_url(database: Database) -> str:
    """A database with the logs `registry`, `tokens` and `issuance`."""
    connection = await connect(database.url, application_name="test migration")
    try:
        for name, by_month in (
            ("registry", False),
            ("tokens", False),
            ("issuance", True),
        ):
            await migrate(connection, name, event_log_migrations(by_month=by_month))
    finally:
        await connection.close()
    return database.url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    """The owner's connection to `database_url`, for what only an intruder would do."""
    connection = await connect(database_url, application_name="test")
    yield connection
    await connection.close()


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[EventLog]:
    async with (
        open_pool(database_url, application_name="test") as pool,
        open_event_log("registry", pool, database_url) as opened,
    ):
        yield opened


@pytest.fixture
async def issuance(database_url: str) -> AsyncIterator[EventLog]:
    async with (
        open_pool(database_url, application_name="test") as pool,
        open_event_log("issuance", pool, database_url) as opened,
    ):
        yield opened
