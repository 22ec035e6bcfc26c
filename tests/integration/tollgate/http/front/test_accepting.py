"""Clients that come at once: how many turns of the loop it takes to see them all."""

import asyncio
import signal
import socket
from contextlib import ExitStack

from aiohttp import web

from tollgate.http.front import FRONT, Head
from tollgate.http.server import ACCEPTED_AT_ONCE, Listener, serve
from tollgate.testing.waiting import PATIENCE

LOOPBACK = "127.0.0.1"
CLIENTS = 8 * ACCEPTED_AT_ONCE


class Counting:
    """Sees requests and takes none."""

    def __init__(self) -> None:
        self.seen = 0

    def kind_of(self, head: Head) -> None:
        self.seen += 1


async def test_clients_that_come_at_once_do_not_wait_for_one_another() -> None:
    loop = asyncio.get_running_loop()
    application, front = web.Application(), Counting()
    application[FRONT] = front
    port: asyncio.Future[int] = loop.create_future()
    server = asyncio.create_task(
        serve(
            application,
            Listener(host=LOOPBACK, port=0),
            on_listening=port.set_result,
        )
    )
    address = (LOOPBACK, await port)
    turns = 0
    with ExitStack() as clients:
        for _ in range(CLIENTS):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while front.seen < CLIENTS:
                turns += 1
                await asyncio.sleep(0)
    signal.raise_signal(signal.SIGTERM)
    await server
    assert turns < CLIENTS
