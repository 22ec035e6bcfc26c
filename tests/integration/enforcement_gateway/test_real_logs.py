"""The gateway as it is run, reading real logs: through their feeds, and the broker."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from enforcement_gateway.testing.facts import minted, signing_key_announced
from enforcement_gateway.testing.owners import REGISTRY, TOKENS, Owners, owners_of
from enforcement_gateway.testing.process import (
    PATIENCE,
    GatewayProcess,
    batch,
    gateway_process,
)
from local_stack.databases import Database
from local_stack.ports import free_ports
from local_stack.testing import VirtualHost
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    KeyDeleted,
    OAuthAppDeleted,
    OAuthAppDisconnected,
)
from tollgate.events.tokens import AllTokensRevoked, SigningKeyRetired, TokenRevoked
from tollgate.testing.keys import signing_key
from tollgate.testing.raw_http import OK, ScriptedUpstream
from tollgate.testing.scenario import on
from tollgate.testing.waiting import until

ENFORCE = Enforcement.ENFORCE


def code_of(answer):
    return answer.body.partition(b'"code":"')[2].partition(b'"')[0].decode()


@pytest.fixture
def gateway(process: GatewayProcess) -> GatewayProcess:
    return process


ENDS = {
    "its jti": (
        TOKENS,
        lambda app, _: on(app.stream, TokenRevoked(jti="jti-1", expires_at=TOMORROW)),
        (401, "token_revoked"),
    ),
    "all of the app": (
        TOKENS,
        lambda app, _: on(app.stream, AllTokensRevoked()),
        (401, "token_revoked"),
    ),
    "its key": (
        REGISTRY,
        lambda app, _: on(app.stream, KeyDeleted(kid=app.key.kid)),
        (401, "app_key_retired"),
    ),
    "the app": (
        REGISTRY,
        lambda app, _: on(app.stream, OAuthAppDeleted()),
        (401, "app_deleted"),
    ),
    "the connection": (
        REGISTRY,
        lambda app, source: on(source.stream, OAuthAppDisconnected(app_id=app.id)),
        (403, "source_not_connected"),
    ),
    "enforcement": (
        REGISTRY,
        lambda _, source: on(source.stream, EnforcementChanged(mode=Enforcement.OFF)),
        (200, ""),
    ),
}
TOMORROW = datetime.now(UTC) + timedelta(days=1)


class TestPolling:
    """Two workers, and no broker."""

    async def test_from_the_logs_to_the_upstream_and_back(
        self, gateway, owners, upstream
    ):
        app = await owners.add_app()
        source = await owners.add_source(ENFORCE, app)
        open_source = await owners.add_source()
        await gateway.start(WORKERS="2")
        await gateway.until_ready()

        admitted = await gateway.ask(source.write_key, owners.token_of(app))
        assert (admitted.status, admitted.body) == (200, b'{"success": true}')
        assert (await gateway.ask(source.write_key)).status == 401
        assert (await gateway.ask(open_source.write_key)).status == 200
        first, _ = upstream.requests
        assert first.body == batch(source.write_key).partition(b"\r\n\r\n")[2]
        assert first["Tollgate-Client-Id"] == app.id
        assert "Authorization" not in first
        assert await gateway.metric("admitted_total") == 1
        assert await gateway.metric('denied_total{reason="token_missing"}') == 1
        assert {each.reader for each in owners.feed.confirmations()} == {
            "enforcement-gateway"
        }

        for name, (log, ends, expected) in ENDS.items():
            app = await owners.add_app()
            source = await owners.add_source(ENFORCE, app)
            token = owners.token_of(app, jti="jti-1")
            assert (await gateway.ask(source.write_key, token)).status == 200, name
            position = await owners.record(log, ends(app, source))
            await gateway.until_at(log, position)
            for _ in range(6):  # whichever worker it is
                answer = await gateway.ask(source.write_key, token)
                assert (answer.status, code_of(answer)) == expected, name
            if log == TOKENS:
                fresh = owners.token_of(app, rev=1)
                assert (await gateway.ask(source.write_key, fresh)).status == 200

        assert await gateway.stop() == 0
        log_lines = "".join(gateway.output)
        assert "Bearer" not in log_lines
        assert token not in log_lines
        assert '"level":"error"' not in log_lines

    async def test_signing_keys_change_under_load_and_nobody_is_refused(
        self, gateway, owners
    ):
        """Neither for a token of a key that is new, nor for one of a retired key."""
        app = await owners.add_app()
        source = await owners.add_source(ENFORCE, app)
        await gateway.start(WORKERS="2", CONFIRMATION_TIMEOUT="30s")
        await gateway.until_ready()
        keys = [owners.signing_key]
        told, passed = Counter(), Counter()

        async def keep_asking():
            while True:
                for key in keys:
                    answer = await gateway.ask(source.write_key, minted(app, key))
                    told[answer.status, code_of(answer)] += 1
                    passed[key.kid] += answer.status == 200

        asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
        for nth in (1, 2, 3):
            retired = on(
                f"signing_key-{keys[-1].kid}",
                SigningKeyRetired(last_expiry=TOMORROW + timedelta(days=1)),
            )
            key = signing_key(nth=nth)
            await owners.record(TOKENS, signing_key_announced(key), retired)
            keys.append(key)
            before = passed.copy()
            await until(lambda: all(passed[k.kid] > before[k.kid] + 9 for k in keys))  # noqa: B023
        for each in asking:
            assert not each.done()
            each.cancel()
        assert set(told) == {(200, "")}

    async def test_unknown_is_not_no(self, gateway, owners):
        """What was recorded just now is admitted at once, not with the next poll."""
        await gateway.start()
        await gateway.until_ready()
        for _ in range(10):
            app = await owners.add_app()
            source = await owners.add_source(ENFORCE, app)
            answer = await gateway.ask(source.write_key, owners.token_of(app))
            assert answer.status == 200
        assert await gateway.metric("confirmations_total") > 0

        answer = await gateway.ask("nobodys-key")
        assert (answer.status, code_of(answer)) == (401, "write_key_unknown")

        await owners.stop()
        answer = await gateway.ask("nobodys-key")
        assert (answer.status, code_of(answer)) == (503, "view_unconfirmed")
        assert "Retry-After" in answer
        known = await gateway.ask(source.write_key, owners.token_of(app))
        assert known.status == 200, "what is known goes on"


class TestBroker:
    @pytest.fixture
    async def owners(
        self, database: Database, virtual_host: VirtualHost
    ) -> AsyncIterator[Owners]:
        async with owners_of(
            database.owner_url, amqp_url_of=virtual_host.url_of
        ) as owners:
            yield owners

    @pytest.fixture
    async def gateway(
        self, owners: Owners, upstream: ScriptedUpstream, virtual_host: VirtualHost
    ) -> AsyncIterator[GatewayProcess]:
        async with gateway_process(
            owners,
            f"http://127.0.0.1:{upstream.port}",
            tuple(free_ports(2)),
            amqp_url=virtual_host.url_of("enforcement-gateway"),
        ) as gateway:
            yield gateway

    async def test_a_revocation_arrives_while_no_feed_answers(self, gateway, owners):
        """So it was the broker that brought it."""
        app = await owners.add_app()
        source = await owners.add_source(ENFORCE, app)
        token = owners.token_of(app)
        await gateway.start(WORKERS="2")
        await gateway.until_ready()
        await gateway.until_pushed()
        assert (await gateway.ask(source.write_key, token)).status == 200
        await owners.stop()
        position = await owners.record(TOKENS, on(app.stream, AllTokensRevoked()))
        await gateway.until_at(TOKENS, position)
        for _ in range(10):
            answer = await gateway.ask(source.write_key, token)
            assert (answer.status, code_of(answer)) == (401, "token_revoked")


class TestAge:
    async def test_what_the_owner_allows_is_what_counts(
        self, database, upstream, tmp_path
    ):
        """Old: enforce refuses, report and off go on; and it heals by itself."""
        async with (
            owners_of(database.owner_url, max_age=timedelta(seconds=3)) as owners,
            gateway_process(
                owners, f"http://127.0.0.1:{upstream.port}", tuple(free_ports(2))
            ) as gateway,
        ):
            app = await owners.add_app()
            sources = {mode: await owners.add_source(mode, app) for mode in Enforcement}
            await gateway.start()
            await gateway.until_ready()
            token = owners.token_of(app)
            assert [
                (await gateway.ask(source.write_key, token)).status
                for source in sources.values()
            ] == [200, 200, 200]
            await owners.stop()
            await gateway.until("/readyz", lambda status, _: status == 503)
            await gateway.until_workers(
                lambda workers: not any(each["view"]["fresh"] for each in workers)
            )
            answers = {
                mode: await gateway.ask(source.write_key, token)
                for mode, source in sources.items()
            }
            assert {mode: answer.status for mode, answer in answers.items()} == {
                Enforcement.OFF: 200,
                Enforcement.REPORT: 200,
                ENFORCE: 503,
            }
            assert code_of(answers[ENFORCE]) == "view_too_old"
            assert "Retry-After" in answers[ENFORCE]
            assert (await gateway.get("/livez"))[0] == 200
            assert await gateway.metric('reported_total{reason="view_too_old"}') == 1
            await owners.start()
            await gateway.until_ready()
            assert (await gateway.ask(sources[ENFORCE].write_key, token)).status == 200

    async def test_a_frozen_worker_refuses_first_and_then_learns(
        self, gateway, owners, upstream
    ):
        """What was revoked while it slept is not admitted by what it knew before."""
        app = await owners.add_app()
        source = await owners.add_source(ENFORCE, app)
        token = owners.token_of(app)
        await gateway.start(MAX_AGE="3s")
        await gateway.until_ready()
        client = await gateway.connect()
        assert (await client.ask(batch(source.write_key, token))).status == 200
        (pid,) = await gateway.pids()
        os.kill(pid, signal.SIGSTOP)
        frozen_at = time.monotonic()
        try:
            await owners.record(TOKENS, on(app.stream, AllTokensRevoked()))
            await client.send(batch(source.write_key, token))
            await until(lambda: time.monotonic() >= frozen_at + 3.2)
        finally:
            os.kill(pid, signal.SIGCONT)
        answer = await client.answer()
        assert (answer.status, code_of(answer)) == (503, "view_too_old")
        await gateway.until_ready()
        answer = await client.ask(batch(source.write_key, token))
        assert (answer.status, code_of(answer)) == (401, "token_revoked")
        assert len(upstream.requests) == 1

    async def test_a_snapshot_that_is_too_old_refuses_until_it_can_poll(
        self, gateway, owners
    ):
        app = await owners.add_app()
        source = await owners.add_source(ENFORCE, app)
        open_source = await owners.add_source()
        token = owners.token_of(app)
        await gateway.start()
        await gateway.until_ready()
        await gateway.until_at(REGISTRY, 9)
        assert await gateway.stop() == 0
        stopped_at = time.monotonic()
        await owners.stop()

        await gateway.start()  # with everything down, and young enough
        await gateway.until_ready()
        assert (await gateway.ask(source.write_key, token)).status == 200
        assert (await gateway.ask(source.write_key)).status == 401
        assert await gateway.metric('view_age_seconds{log="registry"}') > 0
        assert await gateway.stop() == 0

        await until(lambda: time.monotonic() >= stopped_at + 4)
        await gateway.start(MAX_AGE="4s")
        await gateway.until_workers(
            lambda workers: all(each["listening"] for each in workers)
        )
        assert (await gateway.get("/readyz"))[0] == 503
        answer = await gateway.ask(source.write_key, token)
        assert (answer.status, code_of(answer)) == (503, "view_too_old")
        assert (await gateway.ask(open_source.write_key)).status == 200
        await owners.start()
        await gateway.until_ready()
        assert (await gateway.ask(source.write_key, token)).status == 200


class TestEnd:
    async def test_readiness_goes_first_and_what_was_accepted_is_answered(
        self, gateway, owners, upstream
    ):
        source = await owners.add_source()
        go_on = asyncio.Event()

        async def slow(_, served):
            await go_on.wait()
            await served.send(OK)

        upstream.answering = slow
        await gateway.start(WORKERS="2", DRAIN_DELAY="1s")
        await gateway.until_ready()
        asked = [await gateway.connect() for _ in range(6)]
        for client in asked:
            await client.send(batch(source.write_key))
        await upstream.until(lambda: len(upstream.requests) == 6)

        stopping = asyncio.create_task(gateway.stop())
        await gateway.until("/readyz", lambda status, _: status == 503)
        late = await gateway.connect()  # while load balancers have not noticed
        await late.send(batch(source.write_key))
        await upstream.until(lambda: len(upstream.requests) == 7)
        await gateway.until_workers(
            lambda workers: not any(each["listening"] for each in workers)
        )
        assert (await gateway.get("/livez"))[0] == 200
        assert (await gateway.get("/readyz"))[0] == 503
        assert await gateway.metric("requests_total") == 7
        await gateway.until_closed()

        go_on.set()
        for client in (*asked, late):
            answer = await client.answer()
            assert (answer.status, answer["Connection"]) == (200, "close")
            assert await client.rest() == b""
        assert await stopping == 0

    async def test_who_does_not_finish_is_cut_off_in_time(
        self, gateway, owners, upstream
    ):
        source = await owners.add_source()

        async def never(_, served):
            await served.reader.read()

        upstream.answering = never
        await gateway.start(DRAIN_TIME="1s")
        await gateway.until_ready()
        client = await gateway.connect()
        await client.send(batch(source.write_key))
        await upstream.until(lambda: len(upstream.requests) == 1)
        assert await gateway.stop() == 0


assert PATIENCE < 30, "an end takes less than half a minute (FAULTS C2)"
