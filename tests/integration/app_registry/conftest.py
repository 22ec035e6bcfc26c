"""A registry's database, what its parts need of it, and the whole service."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry

from app_registry import bootstrap
from app_registry.application import create_application
from app_registry.bootstrap import OwnerRequest
from app_registry.directory import Directory
from app_registry.settings import Settings
from app_registry.testing.api import Api
from app_registry.testing.issuer import FEED_SECRET, ISSUER, Issuer
from local_stack.databases import Database
from local_stack.ledger import Ledger
from local_stack.ports import free_ports
from local_stack.service_process import ServiceProcess
from tollgate.background import running
from tollgate.database import Pool, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.source import LocalSource
from tollgate.messaging.subscription import Subscription
from tollgate.settings import Secret
from tollgate.testing.waiting import until


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


def settings_for(database: Database, **changes: object) -> Settings:
    """Of a registry whose token-issuer does not answer, unless `changes` say so."""
    known: dict[str, object] = {
        "database_url": Secret(database.service_url),
        "amqp_url": Secret("amqp://127.0.0.1:1"),
        "issuer_url": "http://127.0.0.1:1",
        "issuer_feed_secret": Secret("a feed credential"),
    }
    return Settings(**known | changes)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """The URL of a registry with these settings, in this process, once it is ready."""
    runner = web.AppRunner(create_application(settings), shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with ClientSession() as session:

            async def ready() -> bool:
                async with session.get(f"{url}/readyz") as response:
                    return response.status == 200

            await until(ready)
        yield url
    finally:
        await runner.cleanup()


def registry_process(database: Database, folder: Path) -> ServiceProcess:
    """The service as a process of its own, not started yet; it logs into `folder`."""
    (port,) = free_ports(1)
    process = ServiceProcess(
        "app-registry",
        "app_registry",
        log=folder / f"registry-{port}.log",
        ledger=Ledger(folder / "processes.json"),
        environment={
            "APP_REGISTRY_DATABASE_URL": database.service_url,
            "APP_REGISTRY_AMQP_URL": "amqp://127.0.0.1:1",
            "APP_REGISTRY_ISSUER_URL": "http://127.0.0.1:1",
            "APP_REGISTRY_ISSUER_FEED_SECRET": "a feed credential",
            "APP_REGISTRY_PORT": str(port),
            "APP_REGISTRY_FEED_READERS": (
                '[{"name":"test","secrets":["a feed credential"],"logs":["registry"]}]'
            ),
        },
        health_port=port,
    )
    process.url = f"http://127.0.0.1:{port}"
    return process


@pytest.fixture
async def registry_url(registry_database: Database) -> AsyncIterator[str]:
    async with serving(settings_for(registry_database)) as url:
        yield url


@pytest.fixture
async def owner_token(registry_database: Database) -> str:
    return await make_owner(registry_database)


async def make_owner(database: Database, workspace: str = "Acme") -> str:
    """The access token of the owner of a new workspace, whose name begins so."""
    request = OwnerRequest(
        workspace=f"{workspace} {secrets.token_hex(4)}",
        name="Olga",
        email="olga@example.com",
        token_name="first",
    )
    made = await bootstrap.create_owner(
        Secret(database.service_url), request, datetime.now(UTC)
    )
    return made.access_token


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
def owner(session: ClientSession, registry_url: str, owner_token: str) -> Api:
    """The API as the owner of a workspace sees it."""
    return Api(session, registry_url, owner_token)


@pytest.fixture
async def stranger(registry_database: Database, owner: Api) -> Api:
    """The API as the owner of another workspace sees it."""
    return owner.as_(await make_owner(registry_database, "Strangers"))


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    async with issuer.serving():
        yield issuer


@pytest.fixture
async def api(
    registry_database: Database,
    issuer: Issuer,
    session: ClientSession,
    owner_token: str,
) -> AsyncIterator[Api]:
    """The API of a registry whose token-issuer is `issuer`, for the owner."""
    settings = settings_for(
        registry_database,
        issuer_url=issuer.url,
        issuer=ISSUER,
        issuer_feed_secret=Secret(FEED_SECRET),
    )
    async with serving(settings) as url:
        yield Api(session, url, owner_token)


@pytest.fixture
async def stranger_of_api(registry_database: Database, api: Api) -> Api:
    """`api` as the owner of another workspace sees it."""
    return api.as_(await make_owner(registry_database, "Strangers"))
