"""One issuer for all tests of a module: they share its logs and disturb no other test.

Each module here says `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from local_stack.databases import Database, temporary_database
from token_issuer.schemas import migrate_database
from token_issuer.settings import Settings
from token_issuer.testing.issuer import (
    IssuerUnderTest,
    serving,
    settings_for,
)
from token_issuer.testing.registry import (
    RegisteredApp,
    RegistryStandIn,
    registry_stand_in,
)
from tollgate.database import open_pool
from tollgate.eventlog import EventLog, open_event_log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with temporary_database(postgres_url) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def registry(database: Database) -> AsyncIterator[RegistryStandIn]:
    async with registry_stand_in(database.owner_url) as registry:
        yield registry


@pytest.fixture(scope="module")
def settings(database: Database, registry: RegistryStandIn) -> Settings:
    return settings_for(database.service_url, registry, os.urandom(32))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuer(
    database: Database, settings: Settings, registry: RegistryStandIn
) -> AsyncIterator[IssuerUnderTest]:
    await migrate_database(database.owner_url, database.service_url)
    async with serving(settings) as issuer:
        registry.readers.append(issuer)
        yield issuer
        registry.readers.remove(issuer)


@pytest_asyncio.fixture(loop_scope="module")
async def app(registry: RegistryStandIn, issuer: IssuerUnderTest) -> RegisteredApp:
    """One that the issuer knows."""
    return await registry.add_app()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def issuance_log(
    database: Database, issuer: IssuerUnderTest
) -> AsyncIterator[EventLog]:
    async with (
        open_pool(database.service_url, application_name="tests") as pool,
        open_event_log("issuance", pool, database.service_url) as log,
    ):
        yield log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens_log(
    database: Database, issuer: IssuerUnderTest
) -> AsyncIterator[EventLog]:
    async with (
        open_pool(database.service_url, application_name="tests") as pool,
        open_event_log("tokens", pool, database.service_url) as log,
    ):
        yield log
