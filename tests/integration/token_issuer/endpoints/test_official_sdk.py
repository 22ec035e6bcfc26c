"""Segment's own Python SDK asks this issuer for tokens, unmodified."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
import pytest_asyncio
from segment.analytics import oauth_manager
from segment.analytics.oauth_manager import OauthManager
from segment.analytics.request import APIError

from local_stack.ports import free_ports
from token_issuer.settings import Settings
from token_issuer.testing.issuer import IssuerUnderTest, serving
from token_issuer.testing.registry import RegisteredApp, RegistryStandIn
from tollgate.eventlog import EventLog
from tollgate.oauth.algorithms import Algorithm
from tollgate.testing.keys import signing_key

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The SDK asks the time in a way that newer Pythons warn of.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """Here the issuer is called what it listens on: the SDK makes the one of the
    other."""
    (port,) = free_ports(1)
    return msgspec.structs.replace(
        settings, issuer=f"http://127.0.0.1:{port}", port=port
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reachable(
    issuer: IssuerUnderTest, settings: Settings, registry: RegistryStandIn
) -> AsyncIterator[IssuerUnderTest]:
    async with serving(settings, port=settings.port) as reachable:
        registry.readers.append(reachable)
        yield reachable
        registry.readers.remove(reachable)


@pytest.fixture
def managers() -> Iterator[list[OauthManager]]:
    """Ends the timers of every manager that a test adds."""
    managers: list[OauthManager] = []
    yield managers
    for manager in managers:
        if manager.thread is not None:
            manager.thread.cancel()


def manager_of(
    issuer: IssuerUnderTest, app: RegisteredApp, **options: str
) -> OauthManager:
    return OauthManager(
        app.id,
        app.key.to_pem(),
        app.key.kid,
        auth_server=options.pop("auth_server", issuer.name),
        timeout=5,
        **options,
    )


@pytest.mark.parametrize("slash", ["", "/"])
async def test_it_gets_a_token(
    reachable: IssuerUnderTest,
    app: RegisteredApp,
    managers: list[OauthManager],
    slash: str,
) -> None:
    manager = manager_of(reachable, app, auth_server=reachable.name + slash)
    managers.append(manager)

    token = await asyncio.to_thread(manager.get_token)

    assert (await reachable.introspect(app, token)).json["active"] is True


async def test_a_cleared_token_is_replaced_by_another(
    reachable: IssuerUnderTest, app: RegisteredApp, managers: list[OauthManager]
) -> None:
    manager = manager_of(reachable, app)
    managers.append(manager)

    tokens = []
    for _ in range(3):
        tokens.append(await asyncio.to_thread(manager.get_token))
        manager.clear_token()

    assert len(set(tokens)) == 3


@pytest.fixture(params=[-5, 5], ids=["slow", "fast"])
def wrong_clock(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's clock is hours off."""
    off = timedelta(hours=request.param)

    class WrongDateTime(datetime):
        @classmethod
        def utcnow(cls) -> datetime:
            return datetime.now(UTC).replace(tzinfo=None) + off

    wrong_time = SimpleNamespace(
        time=lambda: time.time() + off.total_seconds(), sleep=time.sleep
    )
    monkeypatch.setattr(oauth_manager, "datetime", WrongDateTime)
    monkeypatch.setattr(oauth_manager, "time", wrong_time)


@pytest.mark.usefixtures("wrong_clock")
async def test_a_wrong_clock_is_healed_without_a_word(
    reachable: IssuerUnderTest,
    app: RegisteredApp,
    managers: list[OauthManager],
    issuance_log: EventLog,
) -> None:
    """The two exact texts and a true `Date` make the SDK sign again at once."""
    manager = manager_of(reachable, app)
    managers.append(manager)

    started = time.monotonic()
    token = await asyncio.to_thread(manager.get_token)

    assert time.monotonic() - started < 5
    assert (await reachable.introspect(app, token)).json["active"] is True
    assert len(await issuance_log.load(f"oauth_app-{app.id}")) == 1


async def test_a_refusal_reaches_the_caller(
    reachable: IssuerUnderTest, app: RegisteredApp, managers: list[OauthManager]
) -> None:
    """A JSON object without `error_description` would hang it for ever."""
    stranger = RegisteredApp(id=app.id, key=signing_key(Algorithm.RS256, 6))
    manager = manager_of(reachable, stranger)
    managers.append(manager)

    with pytest.raises(APIError) as refusal:
        await asyncio.wait_for(asyncio.to_thread(manager.get_token), 10)

    assert refusal.value.status == 401
    assert refusal.value.code == "invalid_client"
    assert refusal.value.message == "client authentication failed"


async def test_trouble_that_passes_is_no_refusal(
    reachable: IssuerUnderTest,
    registry: RegistryStandIn,
    app: RegisteredApp,
    managers: list[OauthManager],
) -> None:
    """503 makes it try again by itself; the app is known only to the registry yet."""
    await registry.stop()
    newcomer = await registry.add_app(wait=False)
    manager = manager_of(reachable, newcomer)
    manager.max_retries = 1000
    managers.append(manager)
    asking = asyncio.create_task(asyncio.to_thread(manager.get_token))
    refused = await reachable.ask_for_token(newcomer)
    await registry.start()

    token = await asyncio.wait_for(asking, 10)

    assert refused.status == 503
    assert (await reachable.introspect(newcomer, token)).json["active"] is True
