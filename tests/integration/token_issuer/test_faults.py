"""What clients get while something is broken, and how soon it is over."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from local_stack.databases import Database, temporary_database
from local_stack.postgres import Postgres
from local_stack.testing import TestRun
from token_issuer.key_store import KeyStore
from token_issuer.schemas import migrate_database
from token_issuer.settings import Settings
from token_issuer.testing.issuer import (
    Answer,
    IssuerUnderTest,
    serving,
    settings_for,
)
from token_issuer.testing.registry import (
    RegisteredApp,
    RegistryStandIn,
    registry_stand_in,
)
from tollgate.database import connect, open_pool
from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events.registry import Grant, Role
from tollgate.events.tokens import SigningKeyCompromised
from tollgate.oauth.jws import decode
from tollgate.testing.waiting import until

PATIENCE = timedelta(seconds=1)
BOUND = 2.5
"""Seconds: for so long trouble is waited out, and some for a slow machine."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, patience=PATIENCE)


def assert_come_back_later(answer: Answer) -> None:
    """Never 200, never 401, never 500: nothing is decided."""
    assert answer.status == 503, answer.body
    assert answer.json["error"] == "temporarily_unavailable"
    assert answer.json["error_description"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Date"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture(scope="module")
def server(servers: TestRun) -> Iterator[Postgres]:
    server = servers.start_postgres()
    yield server
    server.discard()


@pytest.fixture
def own_postgres(server: Postgres) -> Postgres:
    """A server to kill and to pause, up again for each test."""
    server.resume()
    server.start()
    return server


class TestDatabase:
    """The issuer's own database is a server of its own here; the registry's is not."""

    @pytest.fixture
    async def own(self, own_postgres: Postgres) -> AsyncIterator[Database]:
        async with temporary_database(own_postgres.url) as database:
            await migrate_database(database.owner_url, database.service_url)
            yield database

    @pytest.fixture
    async def registry(self, database: Database) -> AsyncIterator[RegistryStandIn]:
        async with registry_stand_in(database.owner_url) as registry:
            yield registry

    @pytest.fixture
    def settings(self, own: Database, registry: RegistryStandIn) -> Settings:
        return msgspec.structs.replace(
            settings_for(own.service_url, registry, os.urandom(32)), patience=PATIENCE
        )

    async def test_a_short_outage_is_waited_out(
        self, settings: Settings, app: RegisteredApp, own_postgres: Postgres
    ) -> None:
        settings = msgspec.structs.replace(settings, patience=timedelta(seconds=5))
        async with serving(settings) as issuer:
            token = await issuer.token_of(app)
            await asyncio.to_thread(own_postgres.kill9)

            waiting = [
                asyncio.create_task(issuer.ask_for_token(app)),
                asyncio.create_task(issuer.revoke(app, token)),
            ]
            started = time.monotonic()
            await asyncio.to_thread(own_postgres.start)
            was_short = time.monotonic() - started < 3
            statuses = {answer.status for answer in await asyncio.gather(*waiting)}

            # On a slow machine it is no short outage.
            assert statuses == {200} if was_short else statuses <= {200, 503}

    async def test_a_long_one_is_503_within_bounds_and_over_by_itself(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
        own_postgres: Postgres,
    ) -> None:
        owner = await registry.add_member(Grant(role=Role.WORKSPACE_OWNER))
        token = await issuer.token_of(app)
        form = issuer.token_form(app)
        await asyncio.to_thread(own_postgres.kill9)

        started = time.monotonic()
        answers = await asyncio.gather(
            *(issuer.post_form("/token", form) for _ in range(3)),
            issuer.revoke(app, token),
            issuer.introspect(app, token),
        )
        revoked = await issuer.revoke_as(owner, app, {"all": True})
        took = time.monotonic() - started
        await issuer.until_ready(ready=False)

        for answer in answers:
            assert_come_back_later(answer)
        assert revoked.status == 503
        assert revoked.headers["Content-Type"].startswith("application/problem+json")
        assert took < 2 * BOUND
        await asyncio.to_thread(own_postgres.start)
        await issuer.until_ready()
        # It was not used up, so it still works.
        assert (await issuer.post_form("/token", form)).status == 200
        assert (await issuer.introspect(app, token)).json["active"] is True

    async def test_it_starts_before_its_database_and_waits_for_it(
        self, settings: Settings, app: RegisteredApp, own_postgres: Postgres
    ) -> None:
        await asyncio.to_thread(own_postgres.kill9)
        async with serving(settings, ready=False) as issuer:
            await issuer.until_ready(ready=False)
            assert (await issuer.get("/livez")).status == 200
            assert_come_back_later(await issuer.ask_for_token(app))

            await asyncio.to_thread(own_postgres.start)
            await issuer.until_ready()
            assert (await issuer.ask_for_token(app)).status == 200

    async def test_a_database_that_hangs_is_503_within_bounds(
        self, issuer: IssuerUnderTest, app: RegisteredApp, own_postgres: Postgres
    ) -> None:
        """Connections stay open and nothing answers."""
        token = await issuer.token_of(app)
        await asyncio.to_thread(own_postgres.pause)
        try:
            started = time.monotonic()
            answers = await asyncio.gather(
                *(issuer.ask_for_token(app) for _ in range(20)),
                *(issuer.introspect(app, token) for _ in range(20)),
            )
            took = time.monotonic() - started
        finally:
            await asyncio.to_thread(own_postgres.resume)

        for answer in answers:
            assert_come_back_later(answer)
        assert took < BOUND
        await issuer.until_ready()
        assert (await issuer.ask_for_token(app)).status == 200

    async def test_a_revocation_is_200_only_when_it_is_in_the_log(
        self, issuer: IssuerUnderTest, app: RegisteredApp, own: Database
    ) -> None:
        """The table is locked: neither 200 now and forgotten, nor for ever."""
        token = await issuer.token_of(app)
        blocker = await connect(own.owner_url, application_name="tests")
        await blocker.execute("SET idle_in_transaction_session_timeout = 0")
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE tokens.events IN ACCESS EXCLUSIVE MODE")

        started = time.monotonic()
        blocked = await issuer.revoke(app, token)
        took = time.monotonic() - started
        await transaction.rollback()
        await blocker.close()

        assert_come_back_later(blocked)
        assert took < BOUND
        assert (await issuer.revoke(app, token)).status == 200
        assert (await issuer.introspect(app, token)).json == {"active": False}

    async def test_sessions_that_are_cut_off_cost_no_500(
        self, issuer: IssuerUnderTest, app: RegisteredApp, own_postgres: Postgres
    ) -> None:
        admin = await connect(own_postgres.url, application_name="tests")
        statuses = set()
        for _ in range(10):
            await admin.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname LIKE 'tollgate%'
                """
            )
            answers = await asyncio.gather(
                *(issuer.ask_for_token(app) for _ in range(5))
            )
            statuses |= {answer.status for answer in answers}
        await admin.close()

        assert statuses <= {200, 503}
        assert (await issuer.ask_for_token(app)).status == 200

    async def test_an_assertion_works_once_also_while_the_database_dies(
        self,
        settings: Settings,
        app: RegisteredApp,
        own: Database,
        own_postgres: Postgres,
    ) -> None:
        """Shown to two replicas at once, again and again, whatever comes of it."""
        granted: Counter[int] = Counter()

        async def show_twice(number: int) -> None:
            form = a.token_form(app)
            answers = await asyncio.gather(
                a.post_form("/token", form), b.post_form("/token", form)
            )
            statuses = [answer.status for answer in answers]
            assert set(statuses) <= {200, 401, 503}
            granted[number] = statuses.count(200)

        async with serving(settings) as a, serving(settings) as b:
            await a.token_of(app)
            showing = []
            for number in range(60):
                showing.append(asyncio.create_task(show_twice(number)))
                if number == 30:
                    await asyncio.to_thread(own_postgres.kill9)
                    starting = asyncio.create_task(
                        asyncio.to_thread(own_postgres.start)
                    )
                await a.get("/livez")
            await asyncio.gather(*showing)
            await starting
            await a.until_ready()

        assert max(granted.values()) == 1
        connection = await connect(own.owner_url, application_name="tests")
        recorded = await connection.fetchval("SELECT count(*) FROM issuance.events")
        spent = await connection.fetchval("SELECT count(*) FROM issuance.spent_jtis")
        await connection.close()
        # Each that was given is recorded, and each that is recorded was paid for.
        assert granted.total() + 1 <= recorded == spent


class TestRegistry:
    async def test_without_it_the_issuer_goes_on_until_its_view_is_too_old(
        self, settings: Settings, issuer_database: Database
    ) -> None:
        max_age = timedelta(seconds=2)
        async with registry_stand_in(
            issuer_database.owner_url, max_age=max_age
        ) as registry:
            app = await registry.add_app()
            settings = msgspec.structs.replace(settings, registry_url=registry.url)
            async with serving(settings) as issuer:
                token = await issuer.token_of(app)
                await registry.stop()
                assert (await issuer.ask_for_token(app)).status == 200

                # Not ready comes before the first refusal.
                await issuer.until_ready(ready=False)
                still = await issuer.ask_for_token(app)
                assert still.status == 200

                started = time.monotonic()
                answers = await asyncio.gather(
                    issuer.ask_for_token(app), issuer.introspect(app, token)
                )
                while answers[0].status == 200:
                    started = time.monotonic()
                    answers = await asyncio.gather(
                        issuer.ask_for_token(app), issuer.introspect(app, token)
                    )
                assert time.monotonic() - started < BOUND
                for answer in answers:
                    assert_come_back_later(answer)

                waiting = asyncio.create_task(issuer.ask_for_token(app))
                await until(partial(_holds_one, issuer))
                await registry.start()
                assert (await waiting).status == 200
                await issuer.until_ready()

    async def test_with_a_snapshot_it_starts_while_the_registry_is_down(
        self,
        settings: Settings,
        registry: RegistryStandIn,
        app: RegisteredApp,
        tmp_path: Path,
    ) -> None:
        path = tmp_path / "snapshot"
        settings = msgspec.structs.replace(settings, snapshot_path=path)
        async with serving(settings) as before:
            await before.token_of(app)
        await registry.stop()

        async with serving(settings) as after:
            assert (await after.ask_for_token(app)).status == 200
        assert path.stat().st_mode & 0o777 == 0o600

    async def test_without_one_it_waits_and_refuses_nobody_for_good(
        self, settings: Settings, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        """An empty view would refuse everybody."""
        await registry.stop()
        async with serving(settings, ready=False) as issuer:
            await issuer.until_ready(ready=False)
            assert_come_back_later(await issuer.ask_for_token(app))

            await registry.start()
            await issuer.until_ready()
            assert (await issuer.ask_for_token(app)).status == 200


async def _holds_one(issuer: IssuerUnderTest) -> bool:
    return b"token_issuer_requests_held 1.0" in (await issuer.get("/metrics")).body


class TestSigningKeys:
    async def test_a_lost_private_half_is_503_and_not_ready(
        self, settings: Settings, app: RegisteredApp, issuer_database: Database
    ) -> None:
        async with serving(settings) as issuer:
            kid = decode(await issuer.token_of(app)).header.kid
        async with open_pool(
            issuer_database.service_url, application_name="tests"
        ) as pool:
            await KeyStore(pool).forget(str(kid))

        async with serving(settings, ready=False) as issuer:
            await issuer.until_logs_are_known()
            assert_come_back_later(await issuer.ask_for_token(app))
            assert (await issuer.get("/readyz")).status == 503
            status = await issuer.get("/status")
            assert any("not at hand" in reason for reason in status.json["reasons"])
            # Verifiers are served all the same.
            keys = (await issuer.get("/.well-known/jwks.json")).json["keys"]
            assert kid in {key["kid"] for key in keys}

    async def test_a_compromised_key_signs_no_more_on_any_replica(
        self, settings: Settings, app: RegisteredApp, tokens_log: EventLog
    ) -> None:
        async with serving(settings) as a, serving(settings) as b:
            kid = decode(await a.token_of(app)).header.kid
            appended = await tokens_log.append(
                AppendGroup(events=[(f"signing_key-{kid}", SigningKeyCompromised())])
            )
            assert appended.last is not None
            for issuer in (a, b):
                await issuer.until_tokens_log_is_at(appended.last)

                assert_come_back_later(await issuer.ask_for_token(app))
                keys = (await issuer.get("/.well-known/jwks.json")).json["keys"]
                assert kid not in {key["kid"] for key in keys}


class TestLimits:
    async def test_an_app_that_asks_too_often_waits(
        self, settings: Settings, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        settings = msgspec.structs.replace(settings, tokens_per_minute=3)
        other = await registry.add_app()
        async with serving(settings) as issuer:
            # Nobody uses up another's share with requests that are not verified.
            for _ in range(5):
                form = issuer.token_form(app)
                form["client_assertion"] = form["client_assertion"][:-12] + "A" * 12
                assert (await issuer.post_form("/token", form)).status == 401
            for _ in range(3):
                assert (await issuer.ask_for_token(app)).status == 200

            limited = await issuer.ask_for_token(app)

            assert limited.status == 429
            assert 1 <= int(limited.headers["Retry-After"]) <= 20
            assert not any("ratelimit" in name.lower() for name in limited.headers)
            assert set(limited.json) == {"error", "error_description"}
            assert (await issuer.ask_for_token(other)).status == 200

    async def test_an_address_with_too_many_failures_waits(
        self, settings: Settings, app: RegisteredApp
    ) -> None:
        settings = msgspec.structs.replace(
            settings, failures_per_minute=3, trusted_proxies=("127.0.0.1",)
        )
        async with serving(settings) as issuer:
            attacker = {"X-Forwarded-For": "198.51.100.7"}
            form = {"grant_type": "client_credentials"}
            failed = [
                await issuer.post_form("/token", form, headers=attacker)
                for _ in range(4)
            ]
            spoofed = {"X-Forwarded-For": "203.0.113.1, 198.51.100.7"}
            elsewhere = {"X-Forwarded-For": "198.51.100.8"}

            assert [answer.status for answer in failed] == [401, 401, 401, 429]
            assert failed[-1].headers["Retry-After"]
            for path in ("/token", "/revoke", "/introspect"):
                limited = await issuer.post_form(path, form, headers=spoofed)
                assert limited.status == 429
            good = issuer.token_form(app)
            limited = await issuer.post_form("/token", good, headers=attacker)
            assert limited.status == 429, "what would be a token is no exception"
            assert (
                await issuer.post_form(
                    "/token", issuer.token_form(app), headers=elsewhere
                )
            ).status == 200
