"""A registry's database, and what its parts need of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from app_registry import bootstrap
from app_registry.directory import Directory
from local_stack.databases import Database
from tollgate.background import running
from tollgate.database import Pool, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.source import LocalSource
from tollgate.messaging.subscription import Subscription
from tollgate.settings import Secret


@pytest.fixture
async def registry_database(database: Database) -> Database:
    """Migrated as the owner."""
    await bootstrap.migrate(Secret(database.owner_url), Secret(database.service_url))
    return database


@pytest.fixture
async def pool(registry_database: Database) -> AsyncIterator[Pool]:
    """As the service."""
    url = registry_database.service_url
    async with open_pool(url, application_name="tests") as pool:
        yield pool


@pytest.fixture
async def log(registry_database: Database, pool: Pool) -> AsyncIterator[EventLog]:
    async with open_event_log("registry", pool, registry_database.service_url) as log:
        yield log


@pytest.fixture
async def known(
    registry_database: Database, log: EventLog
) -> AsyncIterator[Subscription[Directory]]:
    """The registry as one replica of the service knows it."""
    async with open_known(registry_database.service_url, log) as known:
        yield known


@asynccontextmanager
async def open_known(url: str, log: EventLog) -> AsyncIterator[Subscription[Directory]]:
    notifications = Notifications(url, ["registry"])
    known = Subscription(
        LocalSource(log, notifications, max_age=timedelta(seconds=300)),
        Directory,
        metrics=SubscriptionMetrics(CollectorRegistry()),
    )
    async with running(notifications.run(), known.run()):
        yield known
