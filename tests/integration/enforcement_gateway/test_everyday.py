"""Requests of every day are forwarded without an exchange: nobody can tell.

The first request of a connection takes the strict way, the next ones have its head as
a template, and from the second on the head of the answer is known. Here the same is
asked several times on one connection, while something around it changes.
"""

import asyncio
import gzip
import json
import socket
import struct
import time
from datetime import timedelta

import pytest

from enforcement_gateway.body import inflation
from enforcement_gateway.http.server import Limits
from tollgate.events.registry import Enforcement
from tollgate.testing.raw_http import OK
from tollgate.testing.waiting import until

HEAD = b"HTTP/1.1 200 OK\r\n"
TIMES = 4

ANSWERS = {
    "whole": OK,
    "dated": HEAD
    + b"Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}",
    "empty": b"HTTP/1.1 204 No Content\r\nX-Custom: 1\r\n\r\n",
    "an error of its own": b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nno!",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "its last": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "rubbish": b"SSH-2.0-OpenSSH\r\n\r\n",
}


@pytest.fixture
def token(world):
    """One for all requests: another one would be looked at more closely."""
    return world.token()


@pytest.fixture
async def asked_before(gateway, token):
    """A client for whom the everyday way is open, and what it sends."""
    client = await gateway.client()
    request = gateway.request(gateway.batch(), token=token)
    for _ in range(2):
        assert (await client.ask(request)).status == 200
    return client, request


def without_ids(message):
    """A message but for its id, which is another each time, and our date."""
    fields = [
        field
        for field in message.fields
        if field[0] != "X-Request-Id" and field[0] != "Date"
    ]
    body = message.body.replace(message["X-Request-Id"].encode(), b"")
    return message.start_line, fields, body


def code_of(answer):
    return json.loads(answer.body)["code"]


class TestIsTheSame:
    @pytest.mark.parametrize("name", ANSWERS)
    async def test_whatever_the_upstream_answers(self, gateway, world, name):
        answer = ANSWERS[name]

        async def answering(_, served):
            await served.send(answer)
            if name == "its last":
                served.writer.close()

        gateway.upstream.answering = answering
        client = await gateway.client()
        request = gateway.request(gateway.batch(), token=world.token())
        answers = [await client.ask(request) for _ in range(TIMES)]
        ids = [each["X-Request-Id"] for each in answers]
        assert len(set(ids)) == TIMES
        assert [each["X-Request-Id"] for each in gateway.upstream.requests] == ids
        assert all(without_ids(each) == without_ids(answers[0]) for each in answers)
        sent = [without_ids(each) for each in gateway.upstream.requests]
        assert sent == [sent[0]] * TIMES
        assert gateway.upstream.requests[-1]["Tollgate-Client-Id"] == world.app.id
        counters = gateway.counters
        assert (counters.requests, counters.admitted) == (TIMES, TIMES)
        assert sum(counters.answered.values()) + sum(counters.denied.values()) == TIMES

    async def test_if_the_upstream_hangs_up(self, gateway, asked_before):
        async def hang_up(_, served):
            served.writer.close()

        client, request = asked_before
        gateway.upstream.answering = hang_up
        answer = await client.ask(request)
        assert (answer.status, code_of(answer)) == (502, "upstream_closed")

    async def test_if_the_answer_breaks_off(self, gateway, asked_before):
        async def break_off(_, served):
            await served.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
            served.writer.close()

        client, request = asked_before
        gateway.upstream.answering = break_off
        await client.send(request)
        rest = await client.rest()
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not rest.endswith(b"0\r\n\r\n"), "the client must see that it is cut"

    async def test_with_another_body_and_token_each_time(self, gateway, world):
        client = await gateway.client()
        for number in range(TIMES):
            body = gateway.batch("enforced-key", {"type": "track", "n": 10**number})
            token = world.token(jti=f"jti-{number}")
            answer = await client.ask(gateway.request(body, token=token))
            assert answer.status == 200
            assert json.loads(gateway.upstream.requests[-1].body) == body


class TestAnotherConnection:
    """It begins with the head that the last one from its address has sent."""

    @pytest.fixture(autouse=True)
    async def _one_before(self, asked_before):
        """A first connection, whose head the others may share."""

    @pytest.fixture
    def other_token(self, world):
        """That of an app whose sources are its own."""
        world.add_app("app_other")
        world.add_source("src_other", "other-key", Enforcement.ENFORCE, "app_other")
        return world.token(client_id="app_other", jti="jti-other")

    async def test_with_the_same_head(self, gateway, token):
        for _ in range(TIMES):
            assert (await gateway.ask(gateway.batch(), token=token)).status == 200
        sent = [without_ids(each) for each in gateway.upstream.requests]
        assert sent == [sent[0]] * (2 + TIMES)
        assert gateway.counters.connections == 1 + TIMES

    async def test_of_another_app(self, gateway, world, other_token):
        world.view.on_refresh = lambda: None  # the logs hold no more than that
        answer = await gateway.ask(gateway.batch("other-key"), token=other_token)
        assert answer.status == 200
        assert gateway.upstream.requests[-1]["Tollgate-Client-Id"] == "app_other"
        answer = await gateway.ask(gateway.batch("enforced-key"), token=other_token)
        assert (answer.status, code_of(answer)) == (403, "source_not_connected")

    async def test_without_the_token_of_the_first(self, gateway):
        answer = await gateway.ask(gateway.batch())
        assert (answer.status, code_of(answer)) == (401, "token_missing")

    async def test_that_takes_turns_with_it(self, gateway, token, other_token):
        """Nothing of what one has sent is taken for the other's."""
        asked = [
            gateway.request(
                gateway.batch(key, {"type": "t" * 10**number}),
                token=bearer,
                Traceparent=f"{key}-{number}",  # another each time: it may be any
            )
            for key, bearer in (("enforced-key", token), ("other-key", other_token))
            for number in range(2)
        ]
        clients = [await gateway.client() for _ in asked]
        for client, request in zip(clients, asked, strict=True):
            assert (await client.ask(request)).status == 200
        begun = gateway.counters.requests
        for client, request in zip(clients, asked, strict=True):
            await client.send(request[:-30])
        await until(lambda: gateway.counters.requests == begun + len(asked))
        for client, request in zip(clients, asked, strict=True):
            await client.send(request[-30:])
        for client in clients:
            assert (await client.answer()).status == 200
        whole = gateway.upstream.requests[2 : 2 + len(asked)]
        parted = gateway.upstream.requests[2 + len(asked) :]
        assert sorted(map(without_ids, parted)) == sorted(map(without_ids, whole))
        assert len({each["Traceparent"] for each in parted}) == len(asked)


CHANGES = {
    "token_revoked": lambda world: world.revoke("jti-1"),
    "view_too_old": lambda world: setattr(world.view, "is_fresh", False),
    "scope_withdrawn": lambda world: world.change_app(scopes=frozenset()),
    "app_deleted": lambda world: world.change_app(deleted=True),
    "app_key_retired": lambda world: world.change_app(honoured=()),
    "write_key_deleted": lambda world: world.delete_key("enforced-key"),
    "source_not_connected": lambda world: world.add_source(
        "src_enforced", "enforced-key", Enforcement.ENFORCE, "app_2"
    ),
    "token_signing_key_compromised": lambda world: world.compromise_signing_key(),
}


class TestIsDeniedAtOnce:
    """What was admitted a moment ago on the same connection."""

    @pytest.mark.parametrize("code", CHANGES)
    async def test_after_a_change(self, gateway, world, asked_before, code):
        client, request = asked_before
        CHANGES[code](world)
        world.view.on_refresh = lambda: None  # the logs hold no more than that
        answer = await client.ask(request)
        assert answer.status in {401, 403, 503}
        assert code_of(answer) == code
        assert len(gateway.upstream.requests) == 2

    async def test_if_its_body_names_a_second_key(
        self, gateway, world, token, asked_before
    ):
        client, _ = asked_before
        world.add_source("src_2", "second-key", Enforcement.ENFORCE, "app_2")
        body = gateway.batch("enforced-key", {"writeKey": "second-key"})
        answer = await client.ask(gateway.request(body, token=token))
        assert (answer.status, code_of(answer)) == (403, "sources_mixed")


def packed(*parts):
    return b"".join(gzip.compress(json.dumps(part).encode()) for part in parts)


BLANK = gzip.compress(b" ")
MIXED = {"batch": [{"writeKey": "second-key"}], "writeKey": "enforced-key"}
NAMED = packed({"batch": [], "writeKey": "enforced-key"})
DEFLATED = {
    "everyday": (NAMED, 200),
    "in two members": (BLANK + NAMED, 200),
    "more than a slice of time takes": (20_000 * BLANK + NAMED, 200),
    "one behind another": (NAMED + NAMED, "body_unreadable"),
    "open": (packed({"writeKey": "open-key"}), 200),
    "cut short": (NAMED[:-1], "body_unreadable"),
    "with zeros behind it": (NAMED + bytes(2), "body_unreadable"),
    "with another checksum": (NAMED[:-8] + bytes(4) + NAMED[-4:], "body_unreadable"),
    "no gzip": (b'{"writeKey":"enforced-key"}', "body_unreadable"),
    "no JSON": (BLANK, "body_unreadable"),
    "in two spellings": (packed({"WriteKey": "enforced-key"}), "body_unreadable"),
    "of two keys": (packed(MIXED), "sources_mixed"),
    "too large": (gzip.compress(bytes(100_001)), "body_inflates_too_large"),
}


class TestDeflated:
    """In gzip, which is inflated on the everyday way too."""

    @pytest.fixture
    async def gateway(self, make_gateway):
        return await make_gateway(limits=Limits(inflated=100_000, sweep_seconds=0.05))

    @pytest.fixture
    async def asked_before(self, gateway, world, token):
        world.add_source("src_2", "second-key", Enforcement.ENFORCE, "app_2")
        world.view.on_refresh = lambda: None  # the logs hold no more than that
        client = await gateway.client()
        request = gateway.request(NAMED, token=token, Content_Encoding="gzip")
        for _ in range(2):
            assert (await client.ask(request)).status == 200
        return client, request

    async def test_goes_on_without_an_exchange(self, gateway, asked_before):
        client, request = asked_before
        waiting = []

        async def answering(_, served):
            waiting.extend(each._exchange for each in gateway.server.connections)
            await served.send(OK)

        gateway.upstream.answering = answering
        assert (await client.ask(request)).status == 200
        assert waiting == [None]
        assert gateway.upstream.requests[-1].body == NAMED
        assert gateway.upstream.requests[-1]["Content-Encoding"] == "gzip"
        assert (gateway.counters.requests, gateway.counters.admitted) == (3, 3)

    @pytest.fixture(params=["quick", "slow"])
    def _pace(self, request, monkeypatch):
        if request.param == "slow":  # each step takes a slice of time
            monkeypatch.setattr(inflation, "SLICE_OF_TIME", -1.0)

    @pytest.mark.usefixtures("_pace")
    @pytest.mark.parametrize("name", DEFLATED)
    async def test_is_answered_as_at_first(self, gateway, token, asked_before, name):
        client, usual = asked_before
        body, outcome = DEFLATED[name]
        request = gateway.request(body, token=token, Content_Encoding="gzip")
        answer = await client.ask(request)
        if answer.status == 200:
            assert outcome == 200
            assert gateway.upstream.requests[-1].body == body
        else:
            assert code_of(answer) == outcome
            assert len(gateway.upstream.requests) == 2
        assert (await client.ask(usual)).status == 200
        assert gateway.counters.requests == 4

    @pytest.mark.parametrize("code", CHANGES)
    async def test_is_denied_after_a_change(self, gateway, world, asked_before, code):
        client, request = asked_before
        CHANGES[code](world)
        assert code_of(await client.ask(request)) == code
        assert len(gateway.upstream.requests) == 2

    async def test_needs_a_token_of_its_own(self, gateway, asked_before):
        client, _ = asked_before
        request = gateway.request(NAMED, token="x.y.z", Content_Encoding="gzip")
        assert code_of(await client.ask(request)) == "token_malformed"

    async def test_decides_on_what_its_address_names_too(
        self, gateway, token, asked_before
    ):
        client, _ = asked_before
        request = gateway.request(
            NAMED,
            token=token,
            path="/v1/batch?writeKey=second-key",
            Content_Encoding="gzip",
        )
        for _ in range(3):
            assert code_of(await client.ask(request)) == "sources_mixed"


class TestAProcessThatStoodStill:
    """Frozen, or with a machine that slept: nobody else was late."""

    async def test_keeps_its_idle_clients(self, make_gateway, token):
        gateway = await make_gateway(
            limits=Limits(idle_seconds=0.2, sweep_seconds=0.05)
        )
        client = await gateway.client()
        request = gateway.request(gateway.batch(), token=token)
        for _ in range(3):
            assert (await client.ask(request)).status == 200
        next_look = gateway.server.clock
        time.sleep(0.5)  # noqa: ASYNC251 - it stands still
        await until(lambda: gateway.server.clock > next_look)
        assert (await client.ask(request)).status == 200

    async def test_waits_for_answers_as_long_as_ever(self, make_gateway, token):
        gateway = await make_gateway(
            limits=Limits(sweep_seconds=0.05), answer_timeout=0.2
        )
        client = await gateway.client()
        request = gateway.request(gateway.batch(), token=token)
        for _ in range(2):
            assert (await client.ask(request)).status == 200
        gateway.upstream.answering = released = Released(OK)
        await client.send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        time.sleep(0.5)  # noqa: ASYNC251 - it stands still
        released.now.set()
        assert (await client.answer()).status == 200


class TestADeadline:
    async def test_of_an_idle_client_does_not_cut_its_next_request_off(
        self, gateway, asked_before
    ):
        client, request = asked_before
        gateway.upstream.answering = released = Released(OK)
        await client.send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        for connection in gateway.server.connections:
            connection.time_out()
        released.now.set()
        assert (await client.answer()).status == 200
        assert (await client.ask(request)).status == 200


class TestBodies:
    async def test_no_larger_one_is_taken_than_at_first(self, make_gateway, token):
        gateway = await make_gateway(limits=Limits(body=1000, sweep_seconds=0.05))
        client = await gateway.client()
        request = gateway.request(gateway.batch(), token=token)
        for _ in range(2):
            assert (await client.ask(request)).status == 200
        body = gateway.batch("enforced-key", {"type": "t" * 1000})
        large = gateway.request(body, token=token)
        await client.send(large[:-500])  # so that the rest is waited for
        answer = await client.answer()
        assert (answer.status, code_of(answer)) == (413, "body_too_large")
        assert len(gateway.upstream.requests) == 2


class TestTheClient:
    @pytest.mark.parametrize("name", ["whole", "chunked"])
    async def test_leaves_before_the_answer(self, gateway, asked_before, name):
        """The upstream may have taken the events; its connection stays good."""
        client, request = asked_before
        gateway.upstream.answering = released = Released(ANSWERS[name])
        await client.send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        reset(client)
        await until(lambda: not gateway.counters.connections_now)
        released.now.set()
        await until(lambda: gateway.counters.upstream_connections_now == 1)
        gateway.upstream.answering = Released(OK, at_once=True)
        assert (await gateway.ask(gateway.batch("open-key"))).status == 200
        assert gateway.counters.answered == {2: 3}, "nobody was there to be answered"

    async def test_sends_no_more_and_waits(self, gateway, asked_before):
        client, request = asked_before
        gateway.upstream.answering = released = Released(OK)
        await client.send(request)
        client.writer.write_eof()
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        released.now.set()
        rest = await client.rest()
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
        assert rest.endswith(b'{"success": true}')

    async def test_asks_again_before_the_answer(self, gateway, asked_before):
        client, request = asked_before
        gateway.upstream.answering = released = Released(OK)
        await client.send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        await client.send(request)
        released.now.set()
        for _ in range(2):
            assert (await client.answer()).status == 200
        assert len(gateway.upstream.requests) == 4

    async def test_is_told_when_the_gateway_stops(self, gateway, asked_before):
        client, request = asked_before
        gateway.upstream.answering = released = Released(OK)
        await client.send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        draining = asyncio.create_task(gateway.server.drain(timedelta(seconds=10)))
        await asyncio.sleep(0)
        released.now.set()
        answer = await client.answer()
        assert (answer.status, answer["Connection"]) == (200, "close")
        await draining


def reset(client):
    """Leave without a word: a close would only say that no more is sent."""
    socket_of_client = client.writer.get_extra_info("socket")
    socket_of_client.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.writer.close()


class Released:
    """Answers when `now` is set."""

    def __init__(self, answer, *, at_once=False):
        self.now = asyncio.Event()
        self._answer = answer
        if at_once:
            self.now.set()

    async def __call__(self, _, served):
        await self.now.wait()
        await served.send(self._answer)
