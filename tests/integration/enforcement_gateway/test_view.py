"""Decisions by a view that true subscriptions keep, of logs that misbehave."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from enforcement_gateway.testing import facts
from enforcement_gateway.view import SubscribedView
from tollgate.background import running
from tollgate.events.registry import Enforcement, OAuthAppDisconnected
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.subscription import NEVER_POLLED, Subscription
from tollgate.registry.state import RegistryState
from tollgate.testing.keys import signing_key
from tollgate.testing.memory_log import MemoryLog
from tollgate.testing.raw_http import RawClient
from tollgate.testing.waiting import PATIENCE, until
from tollgate.tokens.state import TokensState

CONFIRMATION = 1.0
"""Seconds that a gateway waits for the logs where a test lets it wait in vain."""


def code_of(answer):
    return answer.body.partition(b'"code":"')[2].partition(b'"')[0].decode()


class Followed:
    """Both logs, and a gateway that follows them."""

    def __init__(self, make_gateway, world, confirmation_timeout):
        self.registry = MemoryLog("registry", whole=False)
        self.tokens = MemoryLog("tokens", whole=False)
        metrics = SubscriptionMetrics(CollectorRegistry())
        poll = timedelta(seconds=0.1)
        self.subscriptions = [
            Subscription(log, state, metrics=metrics, poll_interval=poll)
            for log, state in (
                (self.registry, RegistryState),
                (self.tokens, TokensState),
            )
        ]
        self.view = world.view = SubscribedView(
            *self.subscriptions, confirmation_timeout
        )
        self.app = facts.new_app()
        self.source = facts.new_source()
        self._make_gateway = make_gateway

    def record(self, log, given):
        for stream, event in given:
            log.append(stream, event)

    async def start(self):
        self.record(self.registry, facts.app_created(self.app))
        self.record(
            self.registry,
            facts.source_created(self.source, Enforcement.ENFORCE, self.app),
        )
        self.record(self.tokens, facts.signing_key_announced(signing_key()))
        await until(lambda: self.is_level)
        self.gateway = await self._make_gateway()

    @property
    def is_level(self):
        return (
            self.view.logs.ready
            and self.subscriptions[0].hash == self.registry.head.hash
            and self.subscriptions[1].hash == self.tokens.head.hash
        )

    def request(self, write_key=None, key=None, app=None):
        token = facts.minted(app or self.app, key or signing_key())
        body = {"writeKey": write_key or self.source.write_key, "batch": [{}]}
        return self.gateway.request(body, token=token)

    async def ask(self, *args, **kwargs):
        client = await self.gateway.client()
        return await client.ask(self.request(*args, **kwargs))


@pytest.fixture
async def followed(request, make_gateway, world, monkeypatch):
    """It waits for the logs as long as a test does, or for the time in the request."""
    timeout = timedelta(seconds=getattr(request, "param", PATIENCE))
    monkeypatch.setattr(facts, "ISSUER", "https://issuer.test")
    followed = Followed(make_gateway, world, timeout)
    async with running(followed.view.logs.run()):
        await followed.start()
        yield followed


async def test_what_the_logs_say_is_what_is_decided(followed):
    assert (await followed.ask()).status == 200
    answer = await followed.ask(app=facts.new_app())
    assert (answer.status, code_of(answer)) == (401, "app_unknown")
    disconnected = OAuthAppDisconnected(app_id=followed.app.id)
    followed.registry.append(followed.source.stream, disconnected)
    await until(lambda: followed.is_level)
    answer = await followed.ask()
    assert (answer.status, code_of(answer)) == (403, "source_not_connected")


async def test_many_who_name_what_is_unknown_share_few_reads(followed):
    """Else rubbish would make the gateway a weapon against the owner (FAULTS G10)."""
    clients = [await followed.gateway.client() for _ in range(100)]
    assert [(await client.ask(followed.request())).status for client in clients] == [
        200
    ] * 100
    before = followed.registry.reads + followed.tokens.reads
    followed.registry.answering.clear()
    asked = [
        asyncio.create_task(client.ask(followed.request("nobodys-key")))
        for client in clients
    ]
    await until(lambda: followed.gateway.counters.confirmations == 100)
    followed.registry.answering.set()
    assert {(await each).status for each in asked} == {401}
    assert followed.registry.reads + followed.tokens.reads - before < 20


@pytest.mark.parametrize("followed", [CONFIRMATION], indirect=True)
async def test_a_feed_that_hangs_is_503_in_time_and_holds_nobody_else_up(followed):
    loop = asyncio.get_running_loop()
    followed.registry.answering.clear()
    waiting = asyncio.create_task(followed.ask("nobodys-key"))
    await until(lambda: followed.gateway.counters.confirmations == 1)
    assert (await followed.ask()).status == 200
    assert not waiting.done()
    started = loop.time()
    answer = await waiting
    assert (answer.status, code_of(answer)) == (503, "view_unconfirmed")
    assert loop.time() - started < 10 * CONFIRMATION
    assert not followed.gateway.server.tasks
    followed.registry.answering.set()


async def test_who_leaves_while_the_feed_hangs_leaves_nothing_behind(followed):
    followed.registry.answering.clear()
    for _ in range(20):
        client = await RawClient.connect(followed.gateway.port)
        await client.send(followed.request("nobodys-key"))
        client.writer.transport.abort()
    await until(lambda: followed.gateway.counters.confirmations == 20)
    followed.registry.answering.set()
    await until(lambda: not followed.gateway.server.tasks)
    await until(lambda: not followed.gateway.counters.connections_now)
    assert followed.gateway.upstream.requests == []


async def test_a_log_that_was_put_back_is_decided_by_as_it_is_now(followed):
    """A restored backup: what it has forgotten is not admitted by memory."""
    assert (await followed.ask()).status == 200
    followed.registry.put_back(len(followed.registry.events) - 3)  # not connected yet
    other = facts.new_source()
    followed.record(followed.registry, facts.source_created(other))
    await until(lambda: followed.is_level)
    assert followed.subscriptions[0].generation == 1
    answer = await followed.ask()
    assert answer.status == 200, "enforcement was recorded after what is left"
    assert "Tollgate-Client-Id" in followed.gateway.upstream.requests[0]
    assert "Tollgate-Client-Id" not in followed.gateway.upstream.requests[1]


async def test_a_signing_key_that_was_put_back_signs_nothing_any_more(followed):
    """The token is remembered as verified; the key is not known any more."""
    request = followed.request()
    client = await followed.gateway.client()
    assert (await client.ask(request)).status == 200
    followed.tokens.put_back(0)
    followed.record(followed.tokens, facts.signing_key_announced(signing_key(nth=7)))
    await until(lambda: followed.is_level)
    answer = await client.ask(request)
    assert answer.status == 401
    assert (await followed.ask(key=signing_key(nth=7))).status == 200


async def test_what_must_be_understood_and_is_not_makes_it_refuse(followed):
    """An event of a newer version: it stops there and ages out."""
    followed.tokens.append_raw("signing_key-x", "signing_key.blessed", b"{}")
    stopped = followed.subscriptions[1]
    await until(lambda: stopped.status().stopped is not None)
    assert not followed.view.logs.ready
    assert (await followed.ask()).status == 200, "for as long as it may be old"
    stopped.fresh_until = NEVER_POLLED
    answer = await followed.ask()
    assert (answer.status, code_of(answer)) == (503, "view_too_old")


async def test_an_event_nobody_needs_to_understand_is_passed_over(followed):
    followed.tokens.append_raw(
        "signing_key-x", "signing_key.noted", b'{"must_understand":false}'
    )
    await until(lambda: followed.is_level)
    assert (await followed.ask()).status == 200
