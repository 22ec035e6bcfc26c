"""A token-issuer's database, and what its parts need of it."""

import os
from collections.abc import AsyncIterator

import pytest

from local_stack.databases import Database
from token_issuer.key_store import SCHEMA, key_migrations
from tollgate.database import Pool, connect, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.migrations import event_log_migrations, migrate


@pytest.fixture
async def issuer_database(database: Database) -> Database:
    """Migrated as the owner."""
    connection = await connect(database.owner_url, application_name="tests")
    try:
        for schema, migrations in (
            ("tokens", event_log_migrations()),
            ("issuance", event_log_migrations(by_month=True)),
            (SCHEMA, key_migrations()),
        ):
            await migrate(connection, schema, migrations, service_role=database.service)
    finally:
        await connection.close()
    return database


@pytest.fixture
async def pool(issuer_database: Database) -> AsyncIterator[Pool]:
    """As the service."""
    async with open_pool(issuer_database.service_url, application_name="tests") as pool:
        yield pool


@pytest.fixture
async def tokens_log(issuer_database: Database, pool: Pool) -> AsyncIterator[EventLog]:
    async with open_event_log("tokens", pool, issuer_database.service_url) as log:
        yield log


@pytest.fixture
def key_encryption_key() -> bytes:
    return os.urandom(32)
