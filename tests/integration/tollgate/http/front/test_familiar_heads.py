"""What is known by its octets is taken as what a parser reads from them."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, cast

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tollgate.http.familiar_heads import FamiliarHeads
from tollgate.http.front import FRONT, Connection, FrontRunner, Head, Kind
from tollgate.testing.waiting import until

LEFT = b"left"
"""What the body of a request begins with that its front leaves to the application."""

LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
MANY_TURNS = 40
"""Of the loop: more than the application needs for an answer."""


class Transport(asyncio.Transport):
    """Of a connection: what was written to it, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Told:
    """Of a request in front: all that its front knows goes into the answer."""

    def __init__(self, head: Head, connection: Connection) -> None:
        self._head = head
        self._connection = connection

    def begin(self, body: bytes) -> None:
        if body.startswith(LEFT):
            self._connection.leave()
            return
        said = f"in front: {self._head!r} {body!r}".encode()
        self._connection.answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
        )


class Telling(NamedTuple):
    """What is posted to `/front`."""

    head: Head

    def asking(self, connection: Connection) -> Told:
        return Told(self.head, connection)


class PostedToFront:
    def kind_of(self, head: Head) -> Telling | None:
        if head.path != "/front" or head.should_close:
            return None
        return Telling(head)


class Unfamiliar(FamiliarHeads[Kind]):
    """Knows none."""

    def read(self, octets: bytes) -> None:
        return None


class Site:
    """A server, and what its connections answer."""

    def __init__(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{any:.*}", self._handle)
        application[FRONT] = PostedToFront()
        self.runner = FrontRunner(application)

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(text=f"left: {request.raw_headers!r} {body!r}")

    @property
    def heads(self) -> FamiliarHeads[Kind]:
        return cast(Any, self.runner.server).heads

    @heads.setter
    def heads(self, heads: FamiliarHeads[Kind]) -> None:
        cast(Any, self.runner.server).heads = heads

    def connect(self) -> tuple[Connection, Transport]:
        connection = cast(Connection, cast(web.Server, self.runner.server)())
        transport = Transport()
        connection.connection_made(transport)
        return connection, transport

    async def answers_to(self, story: list[tuple[bytes, int]]) -> bytes:
        """All that is written when each piece comes so many turns after the last."""
        connection, transport = self.connect()
        for piece, turns in story:
            if transport.closed:
                break
            connection.data_received(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        await until(lambda: transport.closed)
        connection.connection_lost(None)
        return re.sub(rb"Date: [^\r]*", b"", transport.written)


@pytest_asyncio.fixture(loop_scope="function")
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.runner.setup()
    yield site
    await site.runner.cleanup()


def post(*lines: str, body: bytes = b"", path: str = "/front") -> bytes:
    fields = "".join(f"{line}\r\n" for line in ("Host: a", *lines))
    head = f"POST {path} HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


PLAIN = post(body=b"body")
CHUNKED = (
    b"POST /front HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\nbody\r\n0\r\n\r\n"
)

REQUESTS = st.sampled_from(
    [
        *[PLAIN] * 12,
        *[post(body=b"yob?")] * 4,
        *[post(body=LEFT)] * 4,
        *[post("X-Field: one", body=LEFT)] * 4,
        post(body=b"longer"),
        post(body=b"a\r\n\r\nb"),
        post(body=PLAIN),
        post(),
        post("X-Field: one", body=b"body"),
        post("Content-Encoding: gzip", body=b"body"),
        post("Expect: 100-continue", body=b"body"),
        post("Content-Length: 4", body=b"body"),
        post("X-Folded: one\r\n two", body=b"body"),
        post("X-Bare: one\ntwo: three", body=b"body"),
        post("X-End: one\n", body=b"body"),
        post(body=b"body", path="/other"),
        b"\r\n" + PLAIN,
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Length: 4", b"Length: 04"),
        PLAIN.replace(b"Host", b"host"),
        CHUNKED,
        b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n",
        b"no HTTP\r\n\r\n",
    ]
)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[bytes, int]]:
    """Requests one after the other, mostly each in a piece of its own."""
    octets = b""
    pieces = []
    for request in draw(st.lists(REQUESTS, min_size=1, max_size=8)):
        octets += request
        if draw(st.sampled_from([True] * 8 + [False])):
            cut = draw(st.sampled_from([0] * 8 + list(range(1, len(octets)))))
            pieces += [piece for piece in (octets[:cut], octets[cut:]) if piece]
            octets = b""
    turns = st.sampled_from([MANY_TURNS, MANY_TURNS, 0, 1, 2, 5])
    story = [(piece, draw(turns)) for piece in pieces]
    return [*story, (octets + LAST, MANY_TURNS)]


@hypothesis_settings(
    max_examples=150,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(story=stories())
async def test_a_familiar_head_changes_no_answer(
    site: Site, story: list[tuple[bytes, int]]
) -> None:
    site.heads = Unfamiliar()
    expected = await site.answers_to(story)

    site.heads = FamiliarHeads[Kind]()
    for _ in range(2):  # the second time all is familiar that can be
        assert await site.answers_to(story) == expected


async def test_a_request_whose_head_is_familiar_is_not_parsed(site: Site) -> None:
    """Else both would be alike because they are the same."""
    connection, transport = site.connect()
    connection.data_received(PLAIN)
    answer = transport.written
    connection._parser = None

    connection.data_received(PLAIN)

    assert transport.written == 2 * answer


async def test_the_end_of_a_request_is_not_learned_as_one(site: Site) -> None:
    """Else whoever sends it could add fields to the requests of others."""
    beginning = b"POST /front HTTP/1.1\r\nX-Forwarded-For: 192.0.2.7\r\nX-Cut: "
    story = [(PLAIN, MANY_TURNS), (LAST, MANY_TURNS)]
    site.heads = Unfamiliar()
    expected = await site.answers_to(story)
    site.heads = FamiliarHeads[Kind]()

    await site.answers_to([(beginning, 0), (PLAIN, MANY_TURNS), (LAST, MANY_TURNS)])

    assert await site.answers_to(story) == expected


async def after_it_is_told_to_end(connection: Connection) -> None:
    connection.close()
    connection.data_received(PLAIN)


async def while_its_client_reads_nothing(connection: Connection) -> None:
    connection.pause_writing()
    connection.data_received(PLAIN)
    connection.resume_writing()
    for _ in range(MANY_TURNS):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "happens", [after_it_is_told_to_end, while_its_client_reads_nothing]
)
async def test_nor_what_becomes_of_a_request_that_is_not_for_the_front(
    site: Site, happens: Callable[[Connection], Awaitable[None]]
) -> None:
    written = []
    for heads in (Unfamiliar(), FamiliarHeads[Kind]()):
        site.heads = heads
        connection, transport = site.connect()
        connection.data_received(PLAIN)
        await asyncio.sleep(0)
        await happens(connection)
        connection.connection_lost(None)
        written.append(re.sub(rb"Date: [^\r]*", b"", transport.written))

    assert written[0].startswith(b"HTTP/1.1 200 ")
    assert written[1] == written[0]
