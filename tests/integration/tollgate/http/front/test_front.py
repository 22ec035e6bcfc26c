"""Requests answered in front of an application, and left to it, over one connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import pytest
import pytest_asyncio
from aiohttp import web

from tollgate.http import front
from tollgate.http.front import FRONT, Connection, FrontRunner, Head
from tollgate.testing.raw_http import ConnectionEnded, RawClient
from tollgate.testing.waiting import PATIENCE, until

WORD = web.RequestKey("word", str)
LONGEST = 8


class Asking:
    """A request for `/front`; whoever tests says what becomes of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.body: bytes | None = None

    def begin(self, body: bytes) -> None:
        self.body = body

    def answer(self, text: str) -> None:
        self._connection.answer(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
        )

    @property
    def is_told_to_end(self) -> bool:
        return self._connection._close

    def leave(self, word: str) -> None:
        def remind(request: web.Request) -> None:
            request[WORD] = word

        self._connection.leave(remind)


SETTLED = pytest.mark.parametrize(
    ("settle", "answer"),
    [
        (lambda asking: asking.answer("token"), b"token"),
        (lambda asking: asking.leave("because"), b"/front because "),
    ],
    ids=["answered", "left"],
)
"""What may become of a request in front, and what its client reads then."""


class Site:
    """A server with a front, and the requests that either has seen."""

    def __init__(self) -> None:
        self.asked: list[Asking] = []
        self.left: list[str] = []
        self.may_answer = asyncio.Event()
        self.at_shutdown: Callable[[], None] = lambda: None
        self.when_answered: Callable[[], None] = lambda: None
        application = web.Application()
        application.router.add_route("*", "/{any:.*}", self._handle)
        application[FRONT] = self
        application.on_shutdown.append(self._shut_down)
        self.runner = FrontRunner(application, shutdown_timeout=5.0)

    def kind_of(self, head: Head) -> "Site | None":
        return self if head.path == "/front" else None

    def asking(self, connection: Connection) -> Asking:
        self.asked.append(Asking(connection))
        return self.asked[-1]

    async def begun(self, count: int = 1) -> Asking:
        """The last of the first `count` requests in front, when its body is there."""
        await until(lambda: len(self.asked) >= count)
        asking = self.asked[count - 1]
        await until(lambda: asking.body is not None)
        return asking

    async def _shut_down(self, _: web.Application) -> None:
        """Connections have been told to end; the server is about to wait for them."""
        asyncio.get_running_loop().call_soon(self.at_shutdown)

    async def _handle(self, request: web.Request) -> web.Response:
        self.left.append(request.path)
        if request.path == "/held":
            await self.may_answer.wait()
        body = await request.text()
        # What is called next, before the connection is told that this is answered.
        asyncio.get_running_loop().call_soon(self.when_answered)
        said = " ".join([request.path, request.get(WORD, "-"), body])
        return web.Response(text=said)

    def connections(self) -> list[Connection]:
        assert self.runner.server is not None
        return cast(list[Connection], self.runner.server.connections)

    @property
    def port(self) -> int:
        port: int = self.runner.addresses[0][1]
        return port


@pytest_asyncio.fixture(params=["heads it does not know", "familiar heads"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    site = Site()
    await site.runner.setup()
    await web.TCPSite(site.runner, "127.0.0.1", 0).start()
    if request.param == "familiar heads":
        await make_familiar(site)
    yield site
    site.may_answer.set()
    await site.runner.cleanup()


@asynccontextmanager
async def connected(site: Site) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(site.port)
    try:
        yield client
    finally:
        await client.close()


@contextmanager
def patience_for_a_body(seconds: float) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front, "PATIENCE_FOR_A_BODY", seconds)
        yield


def request(path: str, body: str = "") -> bytes:
    length = len(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
    ).encode()


async def make_familiar(site: Site) -> None:
    """Ask what tests ask in front, with bodies of each length that they have."""
    async with connected(site) as client:
        for length in range(LONGEST + 1):
            await client.send(request("/front", length * "x"))
            (await site.begun(length + 1)).answer("token")
            await client.answer()
    await until(lambda: not site.connections())
    site.asked.clear()


async def test_one_after_the_other_is_answered_where_it_belongs(site: Site) -> None:
    async with connected(site) as client:
        (connection,) = await until(site.connections)
        task = connection._task_handler
        for number in range(3):
            await client.send(request("/front", f"body {number}"))
            asking = await site.begun(number + 1)
            assert asking.body == f"body {number}".encode()
            asking.answer(f"token {number}")
            assert (await client.answer()).body == f"token {number}".encode()
            answer = await client.ask(request("/other", "x"))
            assert answer.body == b"/other - x"
        assert connection._task_handler is task  # it was woken for the others alone
    assert site.left == ["/other"] * 3


@pytest.mark.parametrize("cut", [1, 20, -1, -4])
async def test_a_request_may_come_in_pieces(site: Site, cut: int) -> None:
    octets = request("/front", "body")
    with patience_for_a_body(60.0):
        async with connected(site) as client:
            await client.send(octets[:cut])
            if cut < 0:
                await until(lambda: site.asked)
                assert site.asked[0].body is None
            await client.send(octets[cut:])
            asking = await site.begun()
            assert asking.body == b"body"
            asking.answer("token")
            assert (await client.answer()).body == b"token"
    assert site.left == []


async def test_a_body_that_takes_long_is_waited_for_by_the_application(
    site: Site,
) -> None:
    octets = request("/front", "body")
    with patience_for_a_body(0.0):
        async with connected(site) as client:
            await client.send(octets[:-2])
            await until(lambda: site.left)
            await client.send(octets[-2:])
            assert (await client.answer()).body == b"/front - body"
            assert site.asked[0].body is None

            await client.send(octets)
            (await site.begun(2)).answer("token")
            assert (await client.answer()).body == b"token"


async def test_what_was_left_is_not_taken_again_when_its_body_comes(
    site: Site,
) -> None:
    octets = request("/front", "body")
    with patience_for_a_body(60.0):
        async with connected(site) as client:
            await client.send(octets[:-2])
            await until(lambda: site.asked)
            (connection,) = site.connections()
            connection._leave_unread()
            connection.data_received(octets[-2:])  # before anybody has begun with it
            assert (await client.answer()).body == b"/front - body"
    assert len(site.asked) == 1


async def test_what_is_left_is_answered_by_the_application_and_told_why(
    site: Site,
) -> None:
    async with connected(site) as client:
        await client.send(request("/front"))
        (await site.begun()).leave("because")
        assert (await client.answer()).body == b"/front because "

        assert (await client.ask(request("/other"))).body == b"/other - "


async def test_answers_go_out_in_the_order_of_their_requests(site: Site) -> None:
    async with connected(site) as client:
        await client.send(request("/front"))
        first = await site.begun()
        (connection,) = site.connections()
        await client.send(request("/other", "2") + request("/front", "3"))
        await until(lambda: len(connection._held) == 2)
        first.answer("1")

        answers = [(await client.answer()).body for _ in range(3)]

    assert answers == [b"1", b"/other - 2", b"/front - 3"]


async def test_no_answer_overtakes_one_of_the_application(site: Site) -> None:
    async with connected(site) as client:
        await client.send(request("/other", "1") + request("/held", "2"))
        await until(lambda: len(site.left) == 2)
        await client.send(request("/front", "3"))
        (connection,) = site.connections()
        await until(lambda: connection._messages)
        site.may_answer.set()

        answers = [(await client.answer()).body for _ in range(3)]

    assert answers == [b"/other - 1", b"/held - 2", b"/front - 3"]
    assert site.asked == []


async def test_what_waits_behind_one_that_is_left_comes_after_it(site: Site) -> None:
    async with connected(site) as client:
        await client.send(request("/front", "1"))
        first = await site.begun()
        await client.send(request("/front", "2"))
        (connection,) = site.connections()
        await until(lambda: connection._held)
        first.leave("because")

        answers = [(await client.answer()).body for _ in range(2)]

    assert answers == [b"/front because ", b"/front - 2"]


async def test_more_than_may_wait_is_answered_all_the_same(site: Site) -> None:
    count = 200
    async with connected(site) as client:
        await client.send(request("/front"))
        first = await site.begun()
        sending = asyncio.create_task(
            client.send(b"".join(request("/other", str(n)) for n in range(count)))
        )
        (connection,) = site.connections()
        await until(lambda: connection._held)
        assert connection.transport is not None
        assert not connection.transport.is_reading()
        first.answer("token")
        assert (await client.answer()).body == b"token"
        answers = [(await client.answer()).body for _ in range(count)]
        await sending
    assert answers == [f"/other - {number}".encode() for number in range(count)]


async def test_what_is_no_http_after_a_request_in_front_is_refused_after_it(
    site: Site,
) -> None:
    async with connected(site) as client:
        await client.send(request("/front"))
        first = await site.begun()
        await client.send(b"no http at all\r\n\r\n")
        first.answer("token")
        assert (await client.answer()).body == b"token"
        assert (await client.answer()).status == 400


@pytest.mark.parametrize("body_is_there", [True, False])
async def test_whoever_hangs_up_is_let_go(site: Site, *, body_is_there: bool) -> None:
    octets = request("/front", "body")
    async with connected(site) as client:
        await client.send(octets if body_is_there else octets[:-1])
        await until(lambda: site.asked)
        (connection,) = site.connections()
    await until(lambda: not site.connections())
    if body_is_there:
        site.asked[0].answer("token")
    assert site.left == []
    assert connection._body_timer is None


async def test_a_long_body_is_read_by_the_application(site: Site) -> None:
    text = "x" * 900_000  # more than aiohttp reads before somebody wants it
    async with connected(site) as client:
        sending = asyncio.create_task(client.send(request("/held", text)))
        await until(lambda: site.left and site.connections()[0]._reading_paused)
        site.may_answer.set()
        assert (await client.answer()).body == f"/held - {text}".encode()
        await sending


async def test_a_connection_that_is_to_close_does_so_after_the_answer(
    site: Site,
) -> None:
    async with connected(site) as client:
        await client.send(request("/front"))
        asking = await site.begun()
        (connection,) = site.connections()
        connection.close()
        asking.answer("token")
        assert (await client.answer()).body == b"token"
        with pytest.raises(ConnectionEnded):
            await client.answer()


async def test_the_application_sees_what_is_left_though_its_client_has_gone(
    site: Site,
) -> None:
    async with connected(site) as client:
        await client.send(request("/front", "body"))
        asking = await site.begun()
    await until(lambda: not site.connections())
    asking.leave("because")
    await until(lambda: site.left)
    assert site.left == ["/front"]


async def test_the_application_sees_a_request_whose_client_has_just_gone(
    site: Site,
) -> None:
    async with connected(site) as client:
        (connection,) = await until(site.connections)
        connection.data_received(request("/other"))
        connection.connection_lost(None)
        await client.send(b"")
    await until(lambda: site.left)
    assert site.left == ["/other"]


@pytest.mark.parametrize(
    "octets", [b"no http at all\r\n\r\n", request("/other", "x")[:-1]]
)
async def test_what_a_client_has_left_that_is_no_request_is_nobodys(
    site: Site, octets: bytes
) -> None:
    async with connected(site) as client:
        (connection,) = await until(site.connections)
        task = connection._task_handler
        assert task is not None
        await until(lambda: connection._waiter is not None)
        connection.data_received(octets)
        connection.connection_lost(None)
        await client.send(b"")
        await until(task.done)
    assert task.cancelled()  # it has not failed
    assert site.left == []


async def test_a_shutdown_waits_for_a_request_whose_client_has_just_gone(
    site: Site,
) -> None:
    async with connected(site) as client:
        (connection,) = await until(site.connections)
        await until(lambda: connection._waiter is not None)
        connection.data_received(request("/held"))
        connection.connection_lost(None)
        await client.send(b"")
        await until(lambda: site.left)
        assert site.connections() == [connection]  # those are waited for
        site.may_answer.set()
        await until(lambda: not site.connections())


@SETTLED
async def test_a_shutdown_waits_for_no_more_than_what_is_in_front(
    site: Site, settle: Callable[[Asking], None], answer: bytes
) -> None:
    """Of a connection that came too late to be told to end before."""
    async with connected(site) as client:
        await client.send(request("/front"))
        asking = await site.begun()
        (connection,) = site.connections()
        await client.send(request("/other"))
        await until(lambda: connection._held)
        ending = asyncio.create_task(connection.shutdown(None))
        await until(lambda: connection._handler_waiter is not None)
        settle(asking)
        assert (await client.answer()).body == answer
        with pytest.raises(ConnectionEnded):
            await client.answer()
        async with asyncio.timeout(PATIENCE):
            await ending
    assert "/other" not in site.left


async def test_a_shutdown_does_not_wait_for_a_body_that_will_not_come(
    site: Site,
) -> None:
    with patience_for_a_body(60.0):
        async with connected(site) as client:
            await client.send(request("/front", "body")[:-1])
            await until(lambda: site.asked)
            (connection,) = site.connections()
            ending = asyncio.create_task(connection.shutdown(None))
            await until(lambda: connection._handler_waiter is not None)
        async with asyncio.timeout(PATIENCE):
            await ending
    assert site.left == []


async def test_what_comes_right_after_an_answer_is_answered_before_the_end(
    site: Site,
) -> None:
    """In front, before aiohttp's task has gone on from the request that it answered."""
    async with connected(site) as client:
        (connection,) = await until(site.connections)

        def ask_and_end() -> None:
            connection.data_received(request("/front"))
            connection.close()

        site.when_answered = ask_and_end
        assert (await client.ask(request("/other"))).body == b"/other - "
        asking = await site.begun()
        await until(lambda: asking.is_told_to_end)
        asking.answer("token")
        assert (await client.answer()).body == b"token"
        with pytest.raises(ConnectionEnded):
            await client.answer()


@SETTLED
async def test_a_shutdown_waits_for_what_is_in_front(
    site: Site, settle: Callable[[Asking], None], answer: bytes
) -> None:
    async with connected(site) as client:
        await client.send(request("/front"))
        asking = await site.begun()
        ending = asyncio.create_task(site.runner.cleanup())
        await until(lambda: asking.is_told_to_end)
        settle(asking)
        assert (await client.answer()).body == answer
        with pytest.raises(ConnectionEnded):
            await client.answer()
        await ending


@SETTLED
async def test_what_a_shutdown_has_only_begun_with_is_answered(
    site: Site, settle: Callable[[Asking], None], answer: bytes
) -> None:
    async with connected(site) as client:
        await client.send(request("/front"))
        asking = await site.begun()

        def settle_now() -> None:
            assert asking.is_told_to_end
            settle(asking)

        site.at_shutdown = settle_now
        ending = asyncio.create_task(site.runner.cleanup())
        assert (await client.answer()).body == answer
        with pytest.raises(ConnectionEnded):
            await client.answer()
        await ending


async def test_a_connection_in_front_is_not_closed_for_silence(site: Site) -> None:
    async with connected(site) as client:
        (connection,) = await until(site.connections)
        connection._next_keepalive_close_time = 0.0  # as if idle for ever
        await client.send(request("/front"))
        asking = await site.begun()
        connection._process_keepalive()
        asking.answer("token")
        assert (await client.answer()).body == b"token"
