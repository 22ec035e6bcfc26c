"""A connection on which something came that nobody asked for is not used again.

The event loop has not come to it yet: only the kernel knows.
"""

import contextlib
import resource
import socket

import pytest

from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.sockets.kernel import READ_SIZE
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answers import Answers
from enforcement_gateway.upstream.connection import UpstreamConnection
from enforcement_gateway.upstream.pool import Origin, Pool
from tollgate.testing.raw_http import OK


class Transport:
    def __init__(self, ours: socket.socket) -> None:
        self.ours = ours
        self.written = []
        self.closed = False

    def get_extra_info(self, name: str) -> object:
        return self.ours if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    abort = close


class Client(Answers):
    def __init__(self) -> None:
        self.answered = []

    def answer_whole(self, head, body):
        self.answered.append(body)

    def answer_started(self, head, source):
        """The head of one that comes in pieces."""

    def answer_continued(self, piece):
        """A piece of it."""

    def answer_ended(self):
        self.answered.append(b"")

    def answer_failed(self, reason):
        self.answered.append(reason)


@pytest.fixture
async def pool():
    pool = Pool(
        Origin.of("http://127.0.0.1:9"),
        Counters(),
        max_connections=2,
        connect_timeout=1.0,
        answer_timeout=10.0,
    )
    yield pool
    await pool.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def many_pairs():
    """So many that it matters which of them the kernel is asked about."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(1100)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
        yield pairs
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def used(pool: Pool, transport: Transport) -> UpstreamConnection:
    """One that has carried a request, whose answer was read."""
    connection = UpstreamConnection(pool, 10.0)
    connection.connection_made(transport)
    pool.adopt(connection)
    connection.send(b"first", Client())
    connection.data_received(OK)
    return connection


@pytest.fixture
def connection(pool, pair):
    return used(pool, Transport(pair[0]))


@pytest.fixture
def other(pool, connection):
    """A second one, which is used first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield used(pool, Transport(ours))


@contextlib.contextmanager
def a_turn():
    """Of the loop: the kernel has told of some, who are heard one by one."""
    turn.begin()
    try:
        yield
    finally:
        turn.end()


def answer_of(size: int) -> bytes:
    """One of so many octets."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = size - len(head % size)
    return head % body + b"x" * body


def transport_of(connection):
    return connection._transport


class TestIsUsedAgain:
    async def test_while_it_is_silent(self, pool, connection):
        for number in range(3):
            client = Client()
            pool.send(b"%d" % number, client)
            connection.data_received(OK)
            assert client.answered == [b'{"success": true}']
        assert transport_of(connection).written == [b"first", b"0", b"1", b"2"]

    async def test_after_an_answer_that_took_several_reads(self, pool, connection):
        answer = answer_of(READ_SIZE + 100)
        pool.send(b"second", Client())
        connection.data_received(answer[:READ_SIZE])
        connection.data_received(answer[READ_SIZE:])
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second", b"third"]

    async def test_after_an_answer_that_fills_a_read(self, pool, pair):
        connection = used(pool, Transport(pair[0]))
        pool.send(b"second", Client())
        connection.data_received(answer_of(READ_SIZE))
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second", b"third"]


class TestIsClosed:
    @pytest.mark.parametrize("said", ["rubbish", "nothing more"])
    async def test_when_something_came_behind_the_answer(
        self, pool, connection, pair, said
    ):
        """Also if it was silent when the kernel was asked for the request before."""
        pool.send(b"second", Client())
        connection.data_received(OK)
        if said == "rubbish":
            pair[1].sendall(OK)
        else:
            pair[1].close()
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second"]
        assert transport_of(connection).closed

    async def test_when_it_was_silent_as_others_were_used(self, pool, connection, pair):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            used_last = UpstreamConnection(pool, 10.0)
            used_last.connection_made(Transport(ours))
            pool.adopt(used_last)
            used_last.send(b"first", Client())
            used_last.data_received(OK)
            pool.send(b"second", Client())  # both were silent, and one is still idle
            assert transport_of(used_last).written == [b"first", b"second"]
            pair[1].sendall(OK)
            pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first"]
        assert transport_of(connection).closed

    async def test_among_more_than_a_thousand_that_are_answered(
        self, pool, connection, pair, many_pairs
    ):
        """Who is answered is told first here, and is not to hide the others."""
        for ours, theirs in many_pairs:
            busy = UpstreamConnection(pool, 10.0)
            busy.connection_made(Transport(ours))
            pool.adopt(busy)
            busy.send(b"asked", Client())
            theirs.send(OK)
        pair[1].sendall(OK)
        ask_the_kernel(pool)
        assert transport_of(connection).closed

    async def test_when_the_kernel_does_not_say(self, pool, connection, other):
        """It takes no more descriptors than a process may have."""
        clients = [Client(), Client()]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            with a_turn():
                for client in clients:
                    pool.send(b"second", client)
                resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in (connection, other):
            assert transport_of(each).written == [b"first"]
            assert transport_of(each).closed
        assert [each.answered for each in clients] == [[Reason.UPSTREAM_BUSY]] * 2

    async def test_not_while_its_answer_comes(self, pool, connection, pair):
        waiting = Client()
        pool.send(b"second", waiting)
        pair[1].sendall(OK)
        ask_the_kernel(pool)
        assert not transport_of(connection).closed
        connection.data_received(OK)
        assert waiting.answered == [b'{"success": true}']

    async def test_when_it_was_heard_since_the_request_came(
        self, pool, connection, pair
    ):
        """Nothing is left in the kernel that would tell of it."""
        with a_turn():
            pool.send(b"second", Client())
            connection.data_received(OK)  # for which nobody has asked
        assert transport_of(connection).written == [b"first"]
        assert transport_of(connection).closed


class TestWhatCameInATurn:
    async def test_is_sent_at_its_end_each_on_a_connection_of_its_own(
        self, pool, connection, other
    ):
        with a_turn():
            pool.send(b"second", Client())
            pool.send(b"third", Client())
            assert transport_of(connection).written == [b"first"]
            assert transport_of(other).written == [b"first"]
        assert transport_of(connection).written == [b"first", b"third"]
        assert transport_of(other).written == [b"first", b"second"]

    async def test_goes_by_a_connection_that_it_made_free(
        self, pool, connection, other
    ):
        pool.send(b"second", Client())
        pool.send(b"third", Client())
        with a_turn():
            pool.send(b"fourth", Client())
            connection.data_received(OK)
        assert transport_of(connection).written == [b"first", b"third", b"fourth"]

    async def test_is_not_kept_waiting_when_it_is_large(self, pool, connection, other):
        large = b"x" * (64 * 1024 + 1)
        with a_turn():
            pool.send(b"second", Client())
            pool.send(large, Client())
            assert transport_of(other).written == [b"first", b"second"]
            assert transport_of(connection).written == [b"first", large]
            connection.data_received(OK)
            pool.send(b"fourth", Client())
        assert transport_of(connection).written == [b"first", large, b"fourth"]

    async def test_takes_others_for_those_that_are_not_silent(
        self, pool, connection, other, pair
    ):
        pair[1].sendall(OK)
        last = Client()
        with a_turn():
            pool.send(b"second", Client())
            pool.send(b"third", last)
        assert transport_of(connection).written == [b"first"]
        assert transport_of(connection).closed
        assert transport_of(other).written == [b"first", b"second"]
        assert last.answered == [Reason.UPSTREAM_BUSY]  # as long as it is not gone

    async def test_is_answered_also_if_a_fault_keeps_it_from_being_sent(
        self, pool, connection, other, monkeypatch
    ):
        def fail(data: bytes) -> None:
            raise RuntimeError(data)

        monkeypatch.setattr(transport_of(other), "write", fail)
        first, second = Client(), Client()
        with a_turn():
            pool.send(b"second", first)
            pool.send(b"third", second)
            assert first.answered == []
        assert first.answered == [Reason.UPSTREAM_UNREACHABLE]
        assert transport_of(other).closed
        assert transport_of(connection).written == [b"first", b"third"]
        connection.data_received(OK)
        assert second.answered == [b'{"success": true}']


class TestWhatTheKernelTellsWhileItIsBusy:
    """Whatever it was asked about in the meantime, it is asked again."""

    async def test_of_an_end_with_the_answer(self, pool, connection, pair):
        pool.send(b"second", Client())
        pair[1].sendall(OK)
        pair[1].close()
        ask_the_kernel(pool)
        connection.data_received(pair[0].recv(READ_SIZE))
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second"]
        assert transport_of(connection).closed

    async def test_of_the_answer_is_no_news_of_what_comes_behind_it(
        self, pool, connection, pair
    ):
        pool.send(b"second", Client())
        pair[1].sendall(OK)
        ask_the_kernel(pool)
        connection.data_received(pair[0].recv(READ_SIZE))
        pair[1].sendall(OK)
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second"]
        assert transport_of(connection).closed

    async def test_of_more_than_is_read_at_once(self, pool, connection, pair):
        waiting = Client()
        pool.send(b"second", waiting)
        pair[1].sendall(answer_of(READ_SIZE) + OK)
        ask_the_kernel(pool)
        read = b""
        while len(read) < READ_SIZE:
            read += pair[0].recv(READ_SIZE - len(read))
        connection.data_received(read)
        assert len(waiting.answered) == 1
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second"]
        assert transport_of(connection).closed

    async def test_of_more_than_was_read(self, pool, pair):
        connection = used(pool, Transport(pair[0]))
        pool.send(b"second", Client())
        pair[1].sendall(OK)
        ask_the_kernel(pool)
        connection.data_received(OK)  # and what is in the kernel is more
        pool.send(b"third", Client())
        assert transport_of(connection).written == [b"first", b"second"]
        assert transport_of(connection).closed


def ask_the_kernel(pool: Pool) -> None:
    pool.sweep(0.0, forgiven=0.0, next_at=0.5)
