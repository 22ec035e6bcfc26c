"""When all places are taken: who has one keeps it if anything of it was let in."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.http.server import Limits
from enforcement_gateway.sockets import loop as loops
from enforcement_gateway.sockets.loop import running_loop
from tollgate.testing.raw_http import ConnectionEnded, RawClient
from tollgate.testing.waiting import until

PLACES = 3
BROKEN = "no.token.atall"
FOR_EVER = 3600.0
FEW = Limits(connections=PLACES, grace_seconds=0.0, sweep_seconds=0.05)
"""Places, which nobody keeps for having just come."""


@pytest.fixture
def good(gateway, world):
    return gateway.request(gateway.batch(), token=world.token())


@pytest.fixture
def bad(gateway):
    return gateway.request(gateway.batch(), token=BROKEN)


@pytest.fixture
async def gateway(make_gateway):
    return await make_gateway(limits=FEW)


async def has_ended(client: RawClient) -> bool:
    """Whether its connection was closed, as a client finds out that asks."""
    with contextlib.suppress(ConnectionError):
        return await client.rest() == b""
    return True


async def fill(gateway):
    """Clients that came in that order, as many as there are places."""
    clients = []
    for number in range(1, PLACES + 1):
        clients.append(await gateway.client())
        await until(lambda number=number: gateway.counters.connections == number)
    return clients


def come_saying(gateway, octets):
    """A socket, on which that is sent before anybody is taken: without an await."""
    client = socket.create_connection(("127.0.0.1", gateway.port))
    client.sendall(octets)
    return client


class TestAPlaceIsMade:
    async def test_by_who_has_said_nothing_for_longest(self, gateway, good):
        clients = await fill(gateway)
        for ended in range(1, PLACES):
            newcomer = await gateway.client()
            assert (await newcomer.ask(good)).status == 200
            assert await has_ended(clients[ended - 1])
            assert gateway.counters.connections_displaced == ended
            assert gateway.counters.connections_now == PLACES
        assert (await clients[-1].ask(good)).status == 200

    async def test_by_who_was_refused(self, gateway, good, bad):
        clients, server = await fill(gateway), gateway.server
        since = dict(server.giving_way)
        await until(lambda: server.clock > max(since.values()))
        for client in (*reversed(clients), clients[0]):
            assert (await client.ask(bad)).status == 401
        assert dict(server.giving_way) == since
        assert (await (await gateway.client()).ask(good)).status == 200
        assert await has_ended(clients[0])
        assert gateway.counters.demoted_connections_now == PLACES - 1
        for client in clients[1:]:
            assert (await client.ask(good)).status == 200

    async def test_by_who_was_refused_after_it_was_let_in(self, gateway, good, bad):
        """After those of whom nothing was let in for longer."""
        first, *others = await fill(gateway)
        assert (await first.ask(good)).status == 200
        assert (await first.ask(bad)).status == 401
        for ending in (*others, first):
            newcomer = await gateway.client()
            assert (await newcomer.ask(good)).status == 200
            assert await has_ended(ending)
        assert gateway.counters.connections_let_in == 1 + PLACES

    @pytest.mark.parametrize(
        "half", [b"POST /v1/ba", b"POST /v1/batch HTTP/1.1\r\nHost: x\r\n"]
    )
    async def test_by_half_a_head(self, gateway, good, half):
        clients = await fill(gateway)
        for client in clients:
            await client.send(half)
        await until(lambda: all(each._buffer for each in gateway.server.connections))
        for client in clients:
            assert (await (await gateway.client()).ask(good)).status == 200
            assert await has_ended(client)
        assert (await (await gateway.client()).ask(good)).status == 503
        assert gateway.counters.connections_displaced == PLACES

    async def test_by_half_a_body(self, gateway, good):
        clients = await fill(gateway)
        for client in clients:
            await client.send(good[:-1])
        await until(lambda: gateway.counters.requests == PLACES)
        assert gateway.counters.body_bytes_now > 0
        for client in clients:
            assert (await (await gateway.client()).ask(good)).status == 200
            assert await has_ended(client)
        await until(lambda: not gateway.counters.body_bytes_now)

    async def test_for_each_of_many_who_come_at_once(self, gateway, good):
        """Each is heard before it could be the one that gives way."""
        clients = await fill(gateway)
        newcomers = [come_saying(gateway, good) for _ in range(2 * PLACES)]
        heads = [await asyncio.to_thread(each.recv, 13) for each in newcomers]
        let_in, late = b"HTTP/1.1 200 ", b"HTTP/1.1 503 "
        assert heads == [let_in] * PLACES + [late] * PLACES
        for client in clients:
            assert await has_ended(client)
        assert gateway.counters.connections_displaced == PLACES
        for each in newcomers:
            each.close()


class TestAPlaceIsKept:
    async def test_by_whoever_was_let_in(self, gateway, good, bad):
        clients = await fill(gateway)
        for client in clients:
            for request in (good, bad, good):
                await client.ask(request)
        assert gateway.counters.connections_let_in == PLACES
        for _ in range(5):
            answer = await (await gateway.client()).ask(good)
            assert (answer.status, answer["Connection"]) == (503, "close")
            assert "Retry-After" in answer
        assert gateway.counters.denied[Reason.OVERLOADED] == 5
        assert gateway.counters.connections_displaced == 0
        for client in clients:
            assert (await client.ask(good)).status == 200

    async def test_and_who_is_told_so_hears_it_whatever_it_said(self, gateway, good):
        """A reset for what was not read would overtake the answer."""
        for client in await fill(gateway):
            assert (await client.ask(good)).status == 200
        late = come_saying(gateway, 10 * good)

        def read():
            with late, late.makefile("rb") as answer:
                return answer.read()

        assert (await asyncio.to_thread(read)).startswith(b"HTTP/1.1 503 ")

    @pytest.mark.parametrize("write_key", ["open-key", "reporting-key"])
    async def test_whoever_let_it_in(self, gateway, good, write_key):
        clients = await fill(gateway)
        for client in clients:
            request = gateway.request(gateway.batch(write_key))
            assert (await client.ask(request)).status == 200
        assert (await (await gateway.client()).ask(good)).status == 503
        assert gateway.counters.connections_let_in == PLACES

    async def test_for_a_while_by_who_has_just_come(self, make_gateway, good):
        gateway = await make_gateway(
            limits=Limits(
                connections=PLACES, grace_seconds=FOR_EVER, sweep_seconds=0.02
            )
        )
        clients = await fill(gateway)
        assert (await (await gateway.client()).ask(good)).status == 503
        for client in clients:
            assert (await client.ask(good)).status == 200

    async def test_and_for_no_longer(self, make_gateway, good):
        gateway = await make_gateway(
            limits=Limits(connections=PLACES, grace_seconds=0.1, sweep_seconds=0.02)
        )
        (first, *_) = await fill(gateway)

        async def gets_in() -> bool:
            return (await (await gateway.client()).ask(good)).status == 200

        await until(gets_in)
        assert await has_ended(first)

    async def test_while_an_answer_is_under_way(
        self, make_gateway, world, good, monkeypatch
    ):
        """Those behind it give way, and it does when it was told."""
        go_on = asyncio.Event()

        async def refresh():
            await go_on.wait()

        monkeypatch.setattr(world.view, "refresh", refresh)
        gateway = await make_gateway(limits=FEW)
        asking, *idle = await fill(gateway)
        await asking.send(gateway.request(gateway.batch("unheard-of")))
        await until(lambda: gateway.counters.requests == 1)
        for ending in idle:
            assert (await (await gateway.client()).ask(good)).status == 200
            assert await has_ended(ending)
        assert (await (await gateway.client()).ask(good)).status == 503
        go_on.set()
        assert (await asking.answer()).status == 401
        assert (await (await gateway.client()).ask(good)).status == 200
        assert await has_ended(asking)

    async def test_by_nobody_who_left(self, gateway, good, bad):
        """Whoever left is not asked: a place is free."""
        clients = await fill(gateway)
        assert (await clients[0].ask(bad)).status == 401
        for client in clients:
            await client.close()
        await until(lambda: not gateway.counters.connections_now)
        assert not gateway.server.giving_way
        for _ in range(PLACES):
            assert (await (await gateway.client()).ask(good)).status == 200
        assert gateway.counters.connections_displaced == 0


class TestTls:
    """On the transport of asyncio, whose connections come when TLS is agreed."""

    @pytest.fixture
    async def gateway(self, make_gateway, self_signed):
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(*self_signed)
        return await make_gateway(limits=FEW, listener_tls=served)

    @pytest.fixture
    def come(self, gateway, self_signed):
        trusting = ssl.create_default_context(cafile=str(self_signed[0]))

        async def come():
            shaking = running_loop()._shaking
            before = [*shaking]
            client = await gateway.client(ssl=trusting, server_hostname="localhost")
            await until(lambda: set(shaking) <= set(before))
            return client

        return come

    async def test_who_is_silent_gives_way(self, gateway, come, good, bad):
        clients = [await come() for _ in range(PLACES)]
        assert (await clients[0].ask(good)).status == 200
        assert (await clients[2].ask(bad)).status == 401
        for _ in range(PLACES - 1):
            assert (await (await come()).ask(good)).status == 200
        for client in clients[1:]:
            with pytest.raises((ConnectionEnded, ConnectionError)):
                await client.ask(good)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await come()
        assert gateway.counters.connections_now == PLACES
        assert gateway.counters.connections_let_in == PLACES
        assert (await clients[0].ask(good)).status == 200

    async def test_a_handshake_takes_a_place(self, gateway, come, good, monkeypatch):
        monkeypatch.setattr(loops, "TLS_HANDSHAKE_SECONDS", FOR_EVER)
        silent = [await gateway.client() for _ in range(PLACES)]
        await until(lambda: len(running_loop()._shaking) == PLACES)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await come()
        monkeypatch.setattr(loops, "TLS_GRACE_SECONDS", 0.0)
        for ending in silent:
            assert (await (await come()).ask(good)).status == 200
            assert await has_ended(ending)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await come()
