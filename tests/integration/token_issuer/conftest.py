"""The token-issuer between a real Postgres and a stand-in for the app-registry.

Its broker is not there: all of this has to work by polling alone.
"""

import os
from collections.abc import AsyncIterator

import pytest

from local_stack.databases import Database
from token_issuer.schemas import migrate_database
from token_issuer.settings import Settings
from token_issuer.testing.issuer import IssuerUnderTest, serving, settings_for
from token_issuer.testing.registry import (
    RegisteredApp,
    RegistryStandIn,
    registry_stand_in,
)
from tollgate.database import Pool, open_pool
from tollgate.eventlog import EventLog, open_event_log


@pytest.fixture
async def issuer_database(database: Database) -> Database:
    """Migrated as the owner; the service may read and call."""
    await migrate_database(database.owner_url, database.service_url)
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
async def issuance_log(
    issuer_database: Database, pool: Pool
) -> AsyncIterator[EventLog]:
    async with open_event_log("issuance", pool, issuer_database.service_url) as log:
        yield log


@pytest.fixture
def key_encryption_key() -> bytes:
    return os.urandom(32)


@pytest.fixture
async def registry(issuer_database: Database) -> AsyncIterator[RegistryStandIn]:
    """Its log stands in the same database: the issuer knows only its feed."""
    async with registry_stand_in(issuer_database.owner_url) as registry:
        yield registry


@pytest.fixture
def settings(
    issuer_database: Database, registry: RegistryStandIn, key_encryption_key: bytes
) -> Settings:
    return settings_for(issuer_database.service_url, registry, key_encryption_key)


@pytest.fixture
async def issuer(
    settings: Settings, registry: RegistryStandIn
) -> AsyncIterator[IssuerUnderTest]:
    """It knows what is added to the registry before a test goes on."""
    async with serving(settings) as issuer:
        registry.readers.append(issuer)
        yield issuer
        registry.readers.remove(issuer)


@pytest.fixture
async def app(registry: RegistryStandIn) -> RegisteredApp:
    return await registry.add_app()
