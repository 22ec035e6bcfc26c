"""A connection that is back in the pool is nobody's to pause."""

import pytest

from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.upstream.answers import Answers
from enforcement_gateway.upstream.connection import Owner, UpstreamConnection
from tollgate.testing.raw_http import OK

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport:
    """As much of one as a connection uses."""

    def __init__(self):
        self.reading = True
        self.closed = False
        self.written = []
        self.unsent = 0

    def get_extra_info(self, _):
        return None

    def get_write_buffer_size(self):
        return self.unsent

    def write(self, data):
        self.written.append(data)

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        assert not self.closed
        self.reading = False

    def resume_reading(self):
        assert not self.closed
        self.reading = True

    def close(self):
        self.closed = True

    abort = close


class Pool(Owner):
    def __init__(self):
        self.idle = []
        self.clock = 0.0

    def lost(self, connection):
        pass


class CongestedClient(Answers):
    """Asks the source to wait with each piece, as a slow client makes us do."""

    def __init__(self):
        self.source = None
        self.pieces = []
        self.ended = None

    def answer_whole(self, head, body):
        self.ended = (head.status, body)

    def answer_started(self, head, source):
        self.source = source

    def answer_continued(self, piece):
        self.pieces.append(piece)
        self.source.pause()

    def answer_ended(self):
        self.ended = b"".join(self.pieces)

    def answer_failed(self, reason):
        self.ended = reason


@pytest.fixture
async def connected():
    pool, transport = Pool(), Transport()
    connection = UpstreamConnection(pool, 10.0)
    connection.connection_made(transport)
    return pool, transport, connection


class TestPausing:
    async def test_holds_up_the_upstream_while_the_answer_comes(self, connected):
        _, transport, connection = connected
        client = CongestedClient()
        connection.send(b"request", client)
        connection.data_received(CHUNKED + b"1\r\nx\r\n")
        assert not transport.reading
        connection.resume()
        assert transport.reading

    @pytest.mark.parametrize("then", ["keep-alive", "close"])
    async def test_with_the_last_piece_leaves_no_pause_behind(self, connected, then):
        pool, transport, connection = connected
        client = CongestedClient()
        connection.send(b"request", client)
        fields = b"Connection: %b\r\n\r\n" % then.encode()
        connection.data_received(CHUNKED[:-2] + fields)
        connection.data_received(b"1\r\nx\r\n0\r\n\r\n")
        assert client.ended == b"x"
        assert transport.reading
        assert (pool.idle == [connection]) is (then == "keep-alive")
        client.source.resume()
        client.source.abandon()
        assert transport.closed is (then == "close")

    async def test_one_client_does_not_pause_the_answer_of_the_next(self, connected):
        _, transport, connection = connected
        first, second = CongestedClient(), CongestedClient()
        connection.send(b"request", first)
        connection.data_received(CHUNKED)
        connection.data_received(b"0\r\n\r\n")
        connection.send(b"request", second)
        connection.data_received(OK)
        assert second.ended == (200, b'{"success": true}')
        assert transport.reading

    async def test_an_abandoned_answer_is_read_to_its_end(self, connected):
        pool, transport, connection = connected
        client = CongestedClient()
        connection.send(b"request", client)
        connection.data_received(CHUNKED + b"1\r\nx\r\n")
        client.source.abandon()
        assert transport.reading
        connection.data_received(b"0\r\n\r\n")
        assert pool.idle == [connection]
        assert client.ended is None

    async def test_each_of_them_anew(self, connected):
        pool, _, connection = connected
        for turn in range(1, 3):
            client = CongestedClient()
            connection.send(b"request", client)
            connection.data_received(CHUNKED + b"1\r\nx\r\n")
            client.source.abandon()
            connection.data_received(b"a000\r\n" + b"x" * 0xA000)
            connection.data_received(b"\r\n0\r\n\r\n")
            assert pool.idle == [connection] * turn

    async def test_but_not_for_ever(self, connected):
        pool, transport, connection = connected
        client = CongestedClient()
        connection.send(b"request", client)
        connection.data_received(CHUNKED + b"1\r\nx\r\n")
        client.source.abandon()
        connection.data_received(b"20000\r\n" + b"x" * 0x20000)
        assert transport.closed
        assert pool.idle == []


class TestPatience:
    async def test_ends_while_an_answer_is_waited_for(self, connected):
        pool, transport, connection = connected
        client = CongestedClient()
        connection.send(b"request", client)
        connection.time_out()
        assert client.ended is Reason.UPSTREAM_TIMEOUT
        assert transport.closed
        assert pool.idle == []

    async def test_is_not_needed_with_one_that_is_idle(self, connected):
        pool, transport, connection = connected
        client = CongestedClient()
        for turn in range(1, 3):  # the second answer is a known one
            connection.send(b"request", client)
            connection.data_received(OK)
            connection.time_out()
            assert client.ended == (200, b'{"success": true}')
            assert not transport.closed
            assert pool.idle == [connection] * turn


class TestIsUsedAgain:
    @pytest.mark.parametrize("unsent", [0, 1])
    async def test_only_if_all_of_the_request_was_taken(self, connected, unsent):
        """Else the rest of it would stand before the next one."""
        pool, transport, connection = connected
        client = CongestedClient()
        for turn in range(1, 3):  # the second answer is a known one
            transport.unsent = unsent if turn == 2 else 0
            connection.send(b"request", client)
            connection.data_received(OK)
            assert client.ended == (200, b'{"success": true}')
        assert transport.closed is bool(unsent)
        assert len(pool.idle) == 2 - unsent
