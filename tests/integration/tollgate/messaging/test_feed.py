"""The feed of a real log over HTTP, and a subscription that lives by it alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from tollgate.background import running
from tollgate.database import Connection
from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events import EventMetadata
from tollgate.events.registry import MemberAdded, OAuthAppCreated, OAuthAppRenamed
from tollgate.messaging import feed as feed_module
from tollgate.messaging.feed import Feed, FeedReader
from tollgate.messaging.feed_client import FeedClient
from tollgate.messaging.messages import decode_lines
from tollgate.messaging.metrics import FeedMetrics, SubscriptionMetrics
from tollgate.messaging.notifications import Notifications
from tollgate.messaging.source import LocalSource, LogDiverged, SourceUnavailable
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret
from tollgate.testing.waiting import until

ISSUER = "issuer-secret-0123456789"
ISSUER_NEXT = "issuer-secret-9876543210"
GATEWAY = "gateway-secret-0123456789"
READERS = [
    FeedReader(
        name="token-issuer",
        secrets=(Secret(ISSUER), Secret(ISSUER_NEXT)),
        logs=frozenset({"registry"}),
        whole=True,
    ),
    FeedReader(
        name="enforcement-gateway",
        secrets=(Secret(GATEWAY),),
        logs=frozenset({"registry", "tokens"}),
    ),
]
CREATED = OAuthAppCreated(
    workspace_id="ws_1", name="web", token_lifetime=86_400, scopes=()
)
MEMBER = MemberAdded(
    workspace_id="ws_1", name="Ann", email="ann@example.org", grants=()
)
SOON = timedelta(seconds=10)


@pytest.fixture
async def notifications(database_url: str) -> AsyncIterator[Notifications]:
    listening = Notifications(database_url, ["registry"])
    async with running(listening.run()):
        yield listening


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def feed(
    log: EventLog, notifications: Notifications, metrics: CollectorRegistry
) -> Feed:
    source = LocalSource(log, notifications, max_age=timedelta(seconds=120))
    return Feed([source], READERS, metrics=FeedMetrics(metrics))


@pytest.fixture
async def client(feed: Feed) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    application = web.Application()
    application.add_routes(feed.routes())
    async with TestClient(TestServer(application)) as opened:
        yield opened


Read = Callable[..., Awaitable[aiohttp.ClientResponse]]


@pytest.fixture
def read(client: TestClient[web.Request, web.Application]) -> Read:
    async def get(
        secret: str | None = GATEWAY, **query: str | int
    ) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return await client.get(
            "/v1/events",
            params={"log": "registry", **query},
            headers=headers,
        )

    return get


async def append(log: EventLog, count: int, stream: str = "oauth_app-app_1") -> None:
    """One event a call, so that each notifies."""
    for number in range(count):
        fact = CREATED if number == 0 else OAuthAppRenamed(name=f"name {number}")
        await log.append(AppendGroup(events=[(stream, fact)]))


@asynccontextmanager
async def subscribed(
    client: TestClient[web.Request, web.Application],
    *,
    secret: str = GATEWAY,
    whole: bool = False,
    poll_interval: timedelta = timedelta(milliseconds=200),
) -> AsyncIterator[Subscription[RegistryState]]:
    async with aiohttp.ClientSession() as session:
        source = FeedClient(
            session,
            str(client.make_url("")),
            "registry",
            secret=Secret(secret),
            whole=whole,
            instance="gateway-1",
        )
        subscription = Subscription(
            source,
            RegistryState,
            metrics=SubscriptionMetrics(CollectorRegistry()),
            poll_interval=poll_interval,
        )
        async with running(subscription.run()):
            yield subscription


async def fold(log: EventLog, *, whole: bool) -> bytes:
    state = RegistryState()
    async for page in log.pages():
        for recorded in page:
            withhold = not whole and recorded.category in {"member", "access_token"}
            state.apply(recorded.withholding(data=withhold))
    return state.dump()


class TestAnswers:
    async def test_events_come_with_the_head_and_the_age_they_may_have(
        self, log: EventLog, read: Read
    ) -> None:
        await append(log, 3)
        response = await read(after=1, limit=1)
        head = await log.head()
        assert response.status == 200
        assert response.content_type == "application/x-ndjson"
        assert response.headers["Tollgate-Log-Head"] == "3"
        assert response.headers["Tollgate-Log-Head-Hash"] == head.hash.hex()
        assert float(response.headers["Tollgate-Max-Age"]) == 120
        assert response.headers["Cache-Control"] == "no-store"
        (recorded,) = decode_lines(await response.read())
        assert recorded.position == 2

    async def test_an_empty_log_answers_with_nothing(self, read: Read) -> None:
        response = await read()
        assert response.status == 200
        assert await response.read() == b""
        assert response.headers["Tollgate-Log-Head"] == "0"

    async def test_members_and_metadata_are_for_whole_readers_only(
        self, log: EventLog, read: Read
    ) -> None:
        metadata = EventMetadata(client_address="192.0.2.7")
        await log.append(
            AppendGroup(
                events=[("member-m_1", MEMBER), ("oauth_app-app_1", CREATED)],
                metadata=metadata,
            )
        )
        narrow = await (await read()).read()
        assert b"Ann" not in narrow
        assert b"192.0.2.7" not in narrow
        assert b'"web"' in narrow
        whole = await (await read(ISSUER)).read()
        assert b"Ann" in whole
        assert b"192.0.2.7" in whole

    async def test_a_page_is_bounded_in_bytes(
        self, log: EventLog, read: Read, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await append(log, 10)
        monkeypatch.setattr(feed_module, "MAX_PAGE", 1)
        assert len(decode_lines(await (await read()).read())) == 1

    async def test_a_known_hash_is_accepted_and_another_one_is_409(
        self, log: EventLog, read: Read
    ) -> None:
        await append(log, 3)
        known = await log.hash_at(2)
        assert known is not None
        assert (await read(after=2, after_hash=known.hex())).status == 200
        for query in (
            {"after": 2, "after_hash": "00" * 32},
            {"after": 3, "after_hash": "00" * 32},
            {"after": 0, "after_hash": "00" * 32},
            {"after": 4},
            {"after": 4, "after_hash": known.hex()},
        ):
            response = await read(**query)
            assert response.status == 409, query
            assert response.content_type == "application/problem+json"
            problem = msgspec.json.decode(await response.read())
            assert problem["type"] == "urn:tollgate:problem:log-diverged"

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"after": "-1"}, 400),
            ({"after": "+1"}, 400),
            ({"after": "1_0"}, 400),
            ({"after": "\u0661"}, 400),
            ({"after": "9" * 19}, 400),
            ({"after": "9" * 20}, 400),
            ({"after_hash": "00"}, 400),
            ({"after_hash": "AA" * 32}, 400),
            ({"limit": "x"}, 400),
            ({"wait": "nan"}, 400),
            ({"wait": "1e9"}, 400),
            ({"instance": "a b"}, 400),
            ({"instance": "x" * 129}, 400),
            ({"unknown": "1"}, 400),
            ({"log": "issuance"}, 403),
            ({"log": "tokens"}, 404),
            ({"log": ""}, 403),
        ],
    )
    async def test_bad_questions_get_a_problem(
        self, read: Read, query: dict[str, str], status: int
    ) -> None:
        response = await read(**query)
        assert response.status == status
        assert msgspec.json.decode(await response.read())["status"] == status

    async def test_a_parameter_given_twice_is_refused(
        self, client: TestClient[web.Request, web.Application]
    ) -> None:
        response = await client.get(
            "/v1/events?log=registry&log=registry",
            headers={"Authorization": f"Bearer {GATEWAY}"},
        )
        assert response.status == 400


class TestCredentials:
    @pytest.mark.parametrize("secret", [None, "", "wrong-secret-0123456789", "\u00e9"])
    async def test_without_a_known_credential_nothing_is_told(
        self, read: Read, secret: str | None
    ) -> None:
        response = await read(secret)
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("scheme", ["Basic", "Bearerx", ""])
    async def test_a_credential_under_another_scheme_is_refused(
        self, client: TestClient[web.Request, web.Application], scheme: str
    ) -> None:
        response = await client.get(
            "/v1/events?log=registry",
            headers={"Authorization": f"{scheme} {GATEWAY}"},
        )
        assert response.status == 401

    async def test_two_credentials_are_valid_at_a_time(self, read: Read) -> None:
        assert (await read(ISSUER)).status == 200
        assert (await read(ISSUER_NEXT)).status == 200

    async def test_two_authorization_fields_are_refused(
        self, client: TestClient[web.Request, web.Application]
    ) -> None:
        response = await client.get(
            "/v1/events?log=registry",
            headers=[
                ("Authorization", f"Bearer {GATEWAY}"),
                ("Authorization", f"Bearer {GATEWAY}"),
            ],
        )
        assert response.status == 401

    def test_a_reader_has_one_or_two_secrets_of_some_length(self) -> None:
        for secrets in ((), ("short",), (ISSUER, ISSUER_NEXT, GATEWAY)):
            with pytest.raises(ValueError, match="secret"):
                FeedReader(
                    name="x",
                    secrets=tuple(map(Secret, secrets)),
                    logs=frozenset({"registry"}),
                )


class TestWaiting:
    async def test_a_long_poll_ends_when_an_event_comes(
        self, log: EventLog, read: Read
    ) -> None:
        await append(log, 1)
        asked = asyncio.create_task(read(after=1, wait=20))
        await until(lambda: not asked.done())
        await append(log, 1)
        async with asyncio.timeout(5):
            response = await asked
        (recorded,) = decode_lines(await response.read())
        assert recorded.position == 2

    async def test_it_ends_empty_after_the_wait(self, read: Read) -> None:
        async with asyncio.timeout(5):
            response = await read(wait="0.05")
        assert response.status == 200
        assert await response.read() == b""

    async def test_closing_lets_everybody_go(
        self, read: Read, notifications: Notifications
    ) -> None:
        asked = [asyncio.create_task(read(wait=30)) for _ in range(5)]
        await until(lambda: not any(task.done() for task in asked))
        notifications.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*asked)

    async def test_too_many_who_wait_are_answered_at_once(
        self, read: Read, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed_module, "MAX_WAITING", 0)
        async with asyncio.timeout(5):
            assert (await read(wait=30)).status == 200

    async def test_it_is_woken_again_after_the_listener_was_cut_off(
        self, log: EventLog, db: Connection, notifications: Notifications
    ) -> None:
        await append(log, 1)
        await until(lambda: notifications.heard("registry") > 0)
        before = notifications.heard("registry")
        await db.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN%'
            """
        )
        # It rings when it listens again, for what it may have missed.
        await until(lambda: notifications.heard("registry") > before)
        before = notifications.heard("registry")
        await append(log, 1)
        await until(lambda: notifications.heard("registry") > before)

    async def test_of_a_log_of_which_only_the_own_appends_count_others_are_not_heard(
        self, database_url: str, db: Connection
    ) -> None:
        told = Notifications(
            database_url, ["registry", "tokens"], only_own=["registry"]
        )
        async with running(told.run()):
            await until(lambda: told.heard("tokens") > 0)  # now it listens
            registry, tokens = told.heard("registry"), told.heard("tokens")
            await db.execute("SELECT pg_notify('registry_log', '7')")
            await db.execute("SELECT pg_notify('tokens_log', '7')")
            await until(lambda: told.heard("tokens") > tokens)
            assert told.heard("registry") == registry
            told.ring("registry", 8)
            assert told.heard("registry") == registry + 1


class TestConfirmations:
    async def test_after_is_what_a_named_instance_has_applied(
        self, log: EventLog, read: Read, feed: Feed, metrics: CollectorRegistry
    ) -> None:
        await append(log, 2)
        known = await log.hash_at(2)
        assert known is not None
        await read(after=2, after_hash=known.hex(), instance="gateway-1")
        (confirmed,) = feed.confirmations()
        assert confirmed.reader == "enforcement-gateway"
        assert confirmed.instance == "gateway-1"
        assert confirmed.position == 2
        labels = {
            "log": "registry",
            "reader": "enforcement-gateway",
            "instance": "gateway-1",
        }
        name = "tollgate_feed_confirmed_position"
        assert metrics.get_sample_value(name, labels) == 2

    async def test_an_instance_with_another_history_confirms_nothing(
        self, log: EventLog, read: Read, feed: Feed
    ) -> None:
        await append(log, 2)
        await read(after=2, after_hash="00" * 32, instance="gateway-1")
        await read(after=2, instance="gateway-1")
        assert feed.confirmations() == []

    async def test_who_is_silent_longest_is_forgotten(
        self, read: Read, feed: Feed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed_module, "MAX_INSTANCES", 2)
        for name in ("a", "b", "a", "c"):
            await read(instance=name)
        assert [each.instance for each in feed.confirmations()] == ["a", "c"]


class TestSubscription:
    async def test_it_follows_by_polling_alone(
        self, log: EventLog, client: TestClient[web.Request, web.Application]
    ) -> None:
        await log.append(AppendGroup(events=[("member-m_1", MEMBER)]))
        await append(log, 1203)
        async with subscribed(client) as subscription:
            await subscription.wait_for(1204, SOON)
            await append(log, 2, "oauth_app-app_2")
            await subscription.refresh(SOON)
            assert subscription.position == 1206
            assert subscription.state.dump() == await fold(log, whole=False)
            assert subscription.max_age == 120
            assert subscription.ready

    async def test_a_whole_reader_knows_the_members(
        self, log: EventLog, client: TestClient[web.Request, web.Application]
    ) -> None:
        await log.append(AppendGroup(events=[("member-m_1", MEMBER)]))
        async with subscribed(client, secret=ISSUER, whole=True) as subscription:
            await subscription.wait_for(1, SOON)
            assert subscription.state.members["m_1"].name == "Ann"

    async def test_a_wrong_credential_is_trouble_that_can_be_read(
        self, client: TestClient[web.Request, web.Application]
    ) -> None:
        async with subscribed(client, secret="wrong" * 5) as subscription:
            with pytest.raises(NotLevel, match="401"):
                await subscription.refresh(SOON)
            assert not subscription.ready

    async def test_a_database_put_back_makes_it_rebuild(
        self,
        log: EventLog,
        db: Connection,
        client: TestClient[web.Request, web.Application],
    ) -> None:
        await append(log, 20)
        async with subscribed(client) as subscription:
            await subscription.wait_for(20, SOON)
            await put_back(db, 12)
            await append(log, 3, "oauth_app-app_other")
            await until(lambda: subscription.generation == 1)
            await subscription.refresh(SOON)
            assert subscription.position == 15
            assert subscription.state.dump() == await fold(log, whole=False)

    async def test_its_polls_confirm_what_it_has_applied(
        self,
        log: EventLog,
        feed: Feed,
        client: TestClient[web.Request, web.Application],
    ) -> None:
        await append(log, 5)
        async with subscribed(client):
            await until(lambda: [each.position for each in feed.confirmations()] == [5])


class TestClientRefusals:
    """What a feed, or something that stands in its place, might answer."""

    @pytest.mark.parametrize(
        ("status", "headers", "body"),
        [
            (500, {}, b""),
            (302, {"Location": "/v1/events"}, b""),
            (204, {}, b""),
            (409, {}, b"a proxy's own conflict"),
            (409, {}, b'{"type":"about:blank"}'),
            (200, {}, b""),
            (200, {"Tollgate-Log-Head": "-1"}, b""),
            (200, "sound", b"<html>"),
            (200, "sound", b'{"position":9}'),
        ],
    )
    async def test_rubbish_is_unavailable(
        self, status: int, headers: dict[str, str] | str, body: bytes
    ) -> None:
        sound = {
            "Tollgate-Log-Head": "3",
            "Tollgate-Log-Head-Hash": "00" * 32,
            "Tollgate-Max-Age": "300",
        }

        async def answer(_: web.Request) -> web.Response:
            fields = sound if isinstance(headers, str) else headers
            return web.Response(status=status, headers=fields, body=body)

        with pytest.raises(SourceUnavailable):
            await self.read_from(answer)

    async def test_a_page_that_skips_is_unavailable(self, log: EventLog) -> None:
        await append(log, 3)
        page = await log.read_after(1, limit=9)

        async def answer(_: web.Request) -> web.Response:
            return web.Response(
                body=b"".join(msgspec.json.encode(event) + b"\n" for event in page),
                headers={
                    "Tollgate-Log-Head": "3",
                    "Tollgate-Log-Head-Hash": "00" * 32,
                    "Tollgate-Max-Age": "300",
                },
            )

        with pytest.raises(SourceUnavailable, match="skips"):
            await self.read_from(answer)

    async def test_the_feeds_own_conflict_is_another_history(self) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(
                status=409, body=b'{"type":"urn:tollgate:problem:log-diverged"}'
            )

        with pytest.raises(LogDiverged):
            await self.read_from(answer)

    async def read_from(
        self, answer: Callable[[web.Request], Awaitable[web.Response]]
    ) -> None:
        application = web.Application()
        application.router.add_get("/v1/events", answer)
        async with (
            TestServer(application) as server,
            aiohttp.ClientSession() as session,
        ):
            client = FeedClient(
                session, str(server.make_url("/")), "registry", secret=Secret(GATEWAY)
            )
            await client.read_after(0, None, limit=10)


async def put_back(db: Connection, position: int) -> None:
    """Make the log what a backup taken at `position` would hold."""
    async with db.transaction():
        await db.execute("ALTER TABLE registry.events DISABLE TRIGGER USER")
        await db.execute("DELETE FROM registry.events WHERE position > $1", position)
        await db.execute("ALTER TABLE registry.events ENABLE TRIGGER USER")
        await db.execute(
            """
            UPDATE registry.head SET (position, hash, recorded_at) = (
                SELECT position, hash, recorded_at FROM registry.events
                WHERE position = $1
            )
            """,
            position,
        )
