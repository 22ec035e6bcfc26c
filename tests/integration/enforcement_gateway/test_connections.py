"""What a connection owes its client, whatever else goes on: order, ends, and no more
memory than it was promised.
"""

import asyncio
import contextlib
import socket
import struct
from datetime import timedelta
from pathlib import Path

import pytest

from enforcement_gateway.http.protocol import ServerConnection
from enforcement_gateway.http.server import Limits
from enforcement_gateway.settings import Settings
from enforcement_gateway.worker import close_listener, listen
from tollgate.testing.raw_http import OK, RawClient
from tollgate.testing.waiting import until

MEBIBYTE = 1024 * 1024


def ok_with(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class TestHead:
    async def test_an_answer_to_head_has_no_body(self, gateway):
        """A body would be taken for the next answer (RFC 9110 §9.3.2)."""
        client = await gateway.client()
        await client.send(
            gateway.request(method="HEAD")
            + gateway.request(method="HEAD", path="/nowhere")
            + gateway.request(gateway.batch("open-key"))
        )
        for status in (405, 404):
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert b"Content-Length: " in head
        assert (await client.answer()).status == 200


class TestBeginning:
    async def test_an_empty_line_before_a_request_may_come_in_pieces(self, gateway):
        client = await gateway.client()
        await client.send(b"\r")
        await until(lambda: gateway.server.connections)
        (connection,) = gateway.server.connections
        await until(lambda: connection._buffer)
        request = gateway.request(gateway.batch("open-key"))
        assert (await client.ask(b"\n" + request)).status == 200


class TestEnd:
    async def test_who_sends_no_more_gets_every_answer(self, gateway, world):
        """A client may shut down its side as soon as it has sent all it had."""
        client = await gateway.client()
        good = gateway.request(gateway.batch(), token=world.token())
        bad = gateway.request(gateway.batch())
        await client.send(good + bad + good + bad)
        client.writer.write_eof()
        statuses = [(await client.answer()).status for _ in range(4)]
        assert statuses == [200, 401, 200, 401]
        assert await client.rest() == b""

    @pytest.mark.parametrize("rest", [b"POST /v1/ba", b"\r"])
    async def test_what_is_cut_short_behind_them_is_dropped(self, gateway, rest):
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch("open-key")) + rest)
        client.writer.write_eof()
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
        assert len(gateway.upstream.requests) == 1


async def deaf_client(gateway):
    """One that does not read: kernel buffers take some for it."""
    client = await gateway.client(limit=MEBIBYTE)
    client.writer.transport.pause_reading()
    return client


class TestBackPressure:
    async def test_who_does_not_read_gets_no_further_answer_prepared(self, gateway):
        pipelined = 60
        gateway.upstream.answer_with(ok_with(b"x" * MEBIBYTE))
        client = await deaf_client(gateway)
        await client.send(gateway.request(gateway.batch("open-key")) * pipelined)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) > 0)
        asked = await gateway.at_rest(lambda: len(gateway.upstream.requests))
        assert 0 < asked < pipelined / 2, "kernel buffers, and no more"
        client.writer.transport.resume_reading()
        for _ in range(pipelined):
            answer = await client.answer()
            assert (answer.status, len(answer.body)) == (200, MEBIBYTE)

    async def test_who_never_reads_is_let_go(self, make_gateway):
        gateway = await make_gateway(
            limits=Limits(write_seconds=0.2, sweep_seconds=0.02)
        )
        gateway.upstream.answer_with(ok_with(b"x" * 16 * MEBIBYTE))
        client = await deaf_client(gateway)
        await client.send(gateway.request(gateway.batch("open-key")) * 3)
        await until(lambda: gateway.counters.connections == 1)
        await until(lambda: not gateway.counters.connections_now)
        await gateway.upstream.until(lambda: not gateway.upstream.open_connections)
        assert len(gateway.upstream.requests) == 1

    async def test_who_floods_behind_a_slow_answer_is_not_read(self, gateway):
        go_on = asyncio.Event()

        async def slow(_, served):
            await go_on.wait()
            await served.send(OK)

        gateway.upstream.answering = slow
        client = await gateway.client()
        request = gateway.request(gateway.batch("open-key"))
        count = 32 * MEBIBYTE // len(request)
        await client.send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 1)
        client.writer.write(request * count)
        sending = client.writer.transport.get_write_buffer_size
        assert await gateway.at_rest(sending) > 16 * MEBIBYTE
        client.writer.transport.abort()
        go_on.set()
        await until(lambda: not gateway.counters.connections_now)


class TestLastOnes:
    async def test_who_was_accepted_by_the_kernel_alone_is_served(
        self, make_gateway, world
    ):
        """Before the loop has come to them, they wait in a queue of the socket."""
        gateway = await make_gateway()
        settings = Settings(
            **dict.fromkeys(
                (
                    *("issuer", "upstream_url", "registry_url", "issuer_url"),
                    *("registry_feed_secret", "issuer_feed_secret", "amqp_url"),
                ),
                "http://127.0.0.1:1",
            ),
            port=0,
        )
        listener = listen(settings, gateway.server)
        address = listener.sockets[0].getsockname()
        # Nothing else runs meanwhile: there is no await here.
        clients = [socket.create_connection(address) for _ in range(50)]
        for client in clients:
            client.sendall(gateway.request(gateway.batch("open-key")))
        await close_listener(listener)
        await gateway.server.drain(timedelta(seconds=5))
        for client in clients:
            with client, client.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        with pytest.raises(ConnectionRefusedError):
            await RawClient.connect(address[1])


class TestTooMany:
    async def test_one_connection_too_many_is_told_so(self, make_gateway):
        gateway = await make_gateway(limits=Limits(connections=3))
        request = gateway.request(gateway.batch("open-key"))
        served = [await gateway.client() for _ in range(3)]
        for client in served:
            assert (await client.ask(request)).status == 200
        for _ in range(20):
            late = await gateway.client()
            answer = await late.ask(request * 10)
            assert (answer.status, answer["Connection"]) == (503, "close")
            assert "Retry-After" in answer
            assert await late.rest() == b""
        for client in served:
            assert (await client.ask(request)).status == 200
        await served.pop().close()
        await until(lambda: len(gateway.server.connections) < 3)
        assert (await gateway.ask(gateway.batch("open-key"))).status == 200
        assert len(gateway.upstream.requests) == 7

    async def test_a_flood_of_them_is_bounded(self, make_gateway):
        gateway = await make_gateway(limits=Limits(connections=3))
        clients = [await gateway.client() for _ in range(300)]
        await until(lambda: gateway.counters.connections == 300)
        assert len(gateway.server.connections) < 100
        for client in clients:
            await client.close()
        await until(lambda: not gateway.server.connections)
        assert gateway.counters.connections_now == 0


class TestOurOwnFaults:
    async def test_a_failure_while_the_view_is_read_ends_the_connection(
        self, gateway, world
    ):
        def fail():
            raise RuntimeError("a fault of ours")

        world.view.on_refresh = fail
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch("unheard-of")))
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""
        await until(lambda: not gateway.counters.connections_now)
        assert gateway.upstream.requests == []

    async def test_a_failure_in_a_decision_ends_the_connection(
        self, gateway, world, monkeypatch
    ):
        def fail():
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(world.view, "look", fail)
        told = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(context)
        )
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch()))
        with contextlib.suppress(ConnectionError):
            assert await client.rest() == b""
        await until(lambda: not gateway.counters.connections_now)
        assert len(told) == 1
        monkeypatch.undo()
        assert (await gateway.ask(gateway.batch("open-key"))).status == 200


class TestUpstream:
    async def test_a_head_that_drips_is_silence(self, make_gateway):
        gateway = await make_gateway(
            answer_timeout=0.3, limits=Limits(sweep_seconds=0.02)
        )

        async def drip(_, served):
            await served.send(b"HTTP/1.1 200 OK\r\n")
            while True:
                await served.send(b"X: y\r\n")
                await asyncio.sleep(0.05)

        gateway.upstream.answering = drip
        answer = await gateway.ask(gateway.batch("open-key"))
        assert answer.status == 504
        await gateway.upstream.until(lambda: not gateway.upstream.open_connections)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def reset(client):
    client.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.writer.transport.abort()
    with contextlib.suppress(OSError):
        await client.writer.wait_closed()


class TestUpstreamKept:
    async def test_a_slow_reader_of_one_answer_does_not_stop_the_next(
        self, make_gateway
    ):
        """The last of an answer may congest the client, but not its upstream."""
        gateway = await make_gateway(answer_timeout=2.0)
        size = 40_000  # so that the rest comes in one piece
        go_on = asyncio.Event()

        async def in_two(_, served):
            await served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx" % size)
            await go_on.wait()
            await served.send(b"x" * (size - 1))

        gateway.upstream.answering = in_two
        slow = await narrow_client(gateway)
        await slow.send(gateway.request(gateway.batch("open-key")))
        await slow.reader.readuntil(b"\r\n\r\n")
        slow.writer.transport.pause_reading()
        (connection,) = gateway.server.connections
        go_on.set()
        await until(lambda: connection.is_congested)
        await until(lambda: connection._exchange is None)
        gateway.upstream.answer_with(OK)
        assert (await gateway.ask(gateway.batch("open-key"))).status == 200
        assert gateway.upstream.connections == 1


async def narrow_client(gateway):
    """One between which and the server the kernel keeps little."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", gateway.port))
    client = RawClient(*await asyncio.open_connection(sock=raw, limit=4096))
    gateway.clients.append(client)
    await until(lambda: gateway.server.connections)
    for connection in gateway.server.connections:
        connection._transport.set_write_buffer_limits(high=4096)
        connection._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
        )
    return client


class TestLeaks:
    async def test_leaving_in_every_phase_leaves_nothing_open(self, gateway, world):
        """Before the head, in it, in the body, before the answer, and in it."""
        open_before = open_files()
        tasks_before = len(asyncio.all_tasks())
        request = gateway.request(gateway.batch(), token=world.token())
        begun = asyncio.Event()

        async def half(_, served):
            await served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            begun.set()
            await served.reader.read()

        gateway.upstream.answering = half
        for phase in (b"", request[:20], request[:-5], request, request):
            for _ in range(30):
                client = await RawClient.connect(gateway.port)
                begun.clear()
                await client.send(phase)
                if phase is request:
                    await client.reader.readuntil(b"\r\n\r\n")
                await reset(client)
        await until(lambda: not gateway.counters.connections_now)
        assert gateway.counters.body_bytes_now == 0
        assert not gateway.server.tasks
        await gateway.upstream.stop()
        await until(lambda: not gateway.counters.upstream_connections_now)
        await until(lambda: open_files() < open_before)
        await until(lambda: len(asyncio.all_tasks()) <= tasks_before)

    async def test_a_connection_is_forgotten_when_it_ends(self, gateway):
        for _ in range(50):
            assert (await gateway.ask(gateway.batch("open-key"))).status == 200
        for client in gateway.clients:
            await client.close()
        await until(lambda: not gateway.server.connections)
        assert not any(
            isinstance(each, ServerConnection) for each in gateway.server.connections
        )
