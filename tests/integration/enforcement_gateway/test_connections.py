"""What a connection owes its client, whatever else goes on: order, ends, and no more
memory than it was promised.
"""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

from tollgate.testing.raw_http import RawClient

MEBIBYTE = 1024 * 1024


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def at_rest(number):
    """The number, once it has not changed for a while."""
    before = -1
    async with asyncio.timeout(20):
        while number() != before:
            before = number()
            await asyncio.sleep(0.3)
    return before


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


async def deaf_client(gateway):
    """One that does not read: kernel buffers take some for it."""
    client = await gateway.client(limit=MEBIBYTE)
    client.writer.transport.pause_reading()
    return client


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
        self, gateway, monkeypatch
    ):
        def fail(_):
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(gateway.server.gate, "decide", fail)
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


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def reset(client):
    client.writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.writer.transport.abort()
    with contextlib.suppress(OSError):
        await client.writer.wait_closed()


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
