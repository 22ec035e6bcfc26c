"""Connections on the loop of a worker: nothing is lost, or told twice, or stuck."""

import asyncio
import contextlib
import gc
import itertools
import os
import resource
import select
import selectors
import socket
import struct
import weakref

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from enforcement_gateway.sockets import arrivals
from enforcement_gateway.sockets import listener as listeners
from enforcement_gateway.sockets.demotion import (
    LOT,
    LOT_AT_REST,
    REST_SECONDS,
    SHARE,
)
from enforcement_gateway.sockets.kernel import READ_SIZE
from enforcement_gateway.sockets.listener import Listener
from enforcement_gateway.sockets.loop import Loop, running_loop
from enforcement_gateway.sockets.readiness import Readiness
from enforcement_gateway.sockets.watched import Watched
from enforcement_gateway.turns import turn as turn_of_loop
from tollgate.testing.waiting import until


class Recorder:
    """A protocol that notes what it is told."""

    def __init__(self, *, stays=False, closes=False, fails_at=None):
        self.told = []
        self.received = b""
        self.stays = stays
        self.closes = closes
        self.fails_at = fails_at
        self.meddle = None  # with what others are to be told after it

    def _note(self, what):
        self.told.append(what)
        if what == self.fails_at:
            raise RuntimeError(what)

    def connection_made(self, transport):
        self.transport = transport
        self._note("made")

    def data_received(self, data):
        self.received += data
        self._note("data")
        if self.meddle is not None:
            self.meddle()
        if self.closes:
            self.transport.close()

    def eof_received(self):
        self._note("eof")
        return self.stays

    def pause_writing(self):
        self._note("pause")

    def resume_writing(self):
        self._note("resume")

    def connection_lost(self, exc):
        self.error = exc
        self._note("lost")


OTHERS = []
"""The other ends that a test made."""


@pytest.fixture(autouse=True)
async def nobody_waits_for_more():
    """A thread that reads an end of a test that failed would hold up its own end."""
    yield
    for theirs in OTHERS:
        with contextlib.suppress(OSError):  # it was closed, or its peer was
            theirs.shutdown(socket.SHUT_RDWR)
    OTHERS.clear()


def attach(*, room=None, **how):
    """A recorder on one end of a TCP connection, and the other end, which blocks.

    `room` is for how many octets the kernel has room at ours.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    OTHERS.append(theirs)
    if room is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    recorder = Recorder(**how)
    running_loop().attach(ours, recorder)
    return recorder, theirs


async def read_all(theirs):
    """All that comes until the end, read beside the loop."""

    def read():
        with theirs, theirs.makefile("rb") as file:
            return file.read()

    return await asyncio.to_thread(read)


LARGE = os.urandom(1000) * 8000
"""More than any socket takes at once, and different at every place of a buffer."""


class TestWriting:
    async def test_a_task_alone_has_its_octets_sent(self):
        """No descriptor becomes ready that would take the loop there."""
        recorder, theirs = attach()
        with theirs:
            recorder.transport.write(b"one ")
            recorder.transport.write(b"two")
            assert await asyncio.to_thread(theirs.recv, 100) == b"one two"
        await until(lambda: "lost" in recorder.told)

    @pytest.mark.parametrize("pieces", [1, 7, 8000])
    async def test_all_of_it_goes_before_the_end(self, pieces):
        recorder, theirs = attach()
        size = len(LARGE) // pieces
        written = [LARGE[at * size : at * size + size] for at in range(pieces)]
        for piece in written:
            recorder.transport.write(piece)
        assert recorder.transport.get_write_buffer_size() > 0
        recorder.transport.close()
        recorder.transport.write(b"too late")
        assert await read_all(theirs) == b"".join(written)
        await until(lambda: "lost" in recorder.told)
        assert recorder.error is None
        assert recorder.told.count("pause") == recorder.told.count("resume") == 1

    @pytest.mark.parametrize("write", ["write", "write_now"])
    async def test_pauses_and_goes_on_as_often_as_needed(self, write):
        # Little room: with much of it a reader can be as quick as one long write.
        recorder, theirs = attach(room=READ_SIZE)
        received = asyncio.create_task(read_all(theirs))
        for turn in range(1, 4):
            getattr(recorder.transport, write)(LARGE)
            assert recorder.told.count("pause") == turn
            await until(lambda turn=turn: recorder.told.count("resume") == turn)
        recorder.transport.close()
        assert await received == LARGE * 3

    async def test_our_end_is_told_after_all_was_sent_and_theirs_is_heard(self):
        recorder, theirs = attach()
        recorder.transport.write(LARGE)
        recorder.transport.write_eof()

        def answer():
            with theirs, theirs.makefile("rb") as file:
                received = file.read()
                theirs.sendall(b"all of it")
                return received

        assert await asyncio.to_thread(answer) == LARGE
        await until(lambda: "lost" in recorder.told)
        assert recorder.received == b"all of it"

    async def test_to_who_has_left_is_an_end_with_a_reason(self):
        recorder, theirs = attach(stays=True)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        recorder.transport.write(LARGE)
        theirs.close()
        await until(lambda: "lost" in recorder.told)
        assert isinstance(recorder.error, ConnectionError)
        assert recorder.transport.get_write_buffer_size() == 0

    @pytest.mark.parametrize("pieces", [1, 2])
    @pytest.mark.parametrize("how", ["close", "write_eof"])
    async def test_our_end_comes_after_what_waits_to_be_sent(self, how, pieces):
        recorder, theirs = attach()
        for _ in range(pieces):
            recorder.transport.write(b"word")
        getattr(recorder.transport, how)()
        recorder.transport.write(b"" if how == "write_eof" else b"too late")
        assert await read_all(theirs) == b"word" * pieces
        await until(lambda: "lost" in recorder.told)

    async def test_goes_on_when_there_is_room_and_something_came_with_that(self):
        recorder, theirs = attach()
        recorder.transport.write(LARGE)
        await until(lambda: "pause" in recorder.told)
        received = bytearray()
        theirs.setblocking(False)
        while len(received) < len(LARGE):
            with contextlib.suppress(BlockingIOError):
                while piece := theirs.recv(len(LARGE)):
                    received += piece
            theirs.sendall(b"x")  # both are told at once
            await asyncio.sleep(0)
        assert received == LARGE
        theirs.close()
        await until(lambda: "lost" in recorder.told)


class TestReadiness:
    def test_does_not_wait_after_it_has_sent_what_tasks_wrote(self):
        """What came of that, as the end of a connection, is on the loop's queue."""

        class Written(Watched):
            def flush(self):
                sent.append(self)

        sent = []
        readiness = Readiness(itertools.count().__next__)
        readiness.written.append(Written())
        assert readiness.select("a time that no kernel would take") == []
        assert len(sent) == 1
        with pytest.raises(TypeError):
            readiness.select("a time that no kernel would take")
        readiness.close()

    def test_a_turn_ends_when_all_who_are_told_together_were_heard(self):
        """With what was put off, before anything is sent, whatever happened in it."""
        told = []

        class Told(Watched):
            def on_ready(self, events):
                del events
                assert turn_of_loop.is_under_way
                turn_of_loop.put_off(lambda: readiness.written.append(self))
                turn_of_loop.put_off(lambda: told.append("end"))
                told.append("heard")
                if len(told) > 6:
                    raise KeyboardInterrupt

            def flush(self):
                assert not turn_of_loop.is_under_way
                told.append("sent")

        readiness = Readiness(itertools.count().__next__)
        pairs = [socket.socketpair() for _ in range(2)]
        for one, _ in pairs:
            readiness.watch(one.fileno(), Told(), select.EPOLLOUT)
        assert readiness.select(0) == []
        assert told == [each for each in ("heard", "end", "sent") for _ in pairs]
        with pytest.raises(KeyboardInterrupt):
            readiness.select(0)
        assert not turn_of_loop.is_under_way
        assert told[6:] == ["heard", "end"]
        readiness.close()
        for each in itertools.chain(*pairs):
            each.close()

    def test_who_is_demoted_is_heard_when_all_others_have_their_answers(self):
        told = []

        class Told(Watched):
            def on_ready(self, events):
                del events
                readiness.written.append(self)
                told.append((self, "heard"))

            def flush(self):
                assert not turn_of_loop.is_under_way
                told.append((self, "sent"))

        readiness = Readiness(itertools.count().__next__)
        pairs = [socket.socketpair() for _ in range(4)]
        first, *others, forgotten = ones = [Told() for _ in pairs]
        for each, (one, _) in zip(ones, pairs, strict=True):
            readiness.watch(one.fileno(), each, select.EPOLLIN | select.EPOLLET)
        readiness.demote(pairs[0][0].fileno(), first)
        readiness.demote(pairs[1][0].fileno(), others[0])
        readiness.promote(pairs[1][0].fileno(), others[0])
        readiness.demote(pairs[3][0].fileno(), forgotten)
        for _, theirs in pairs:
            theirs.send(b"now")
        readiness.forget(pairs[3][0].fileno())
        while len(told) < 6:
            readiness.select(None)
        calm = [(each, what) for what in ("heard", "sent") for each in others]
        assert told == [*calm, (first, "heard"), (first, "sent")]
        readiness.promote(pairs[0][0].fileno(), first)
        pairs[0][1].send(b"again")
        readiness.select(0)
        assert told[6:] == [(first, "heard"), (first, "sent")]
        readiness.close()
        for each in itertools.chain(*pairs):
            each.close()

    def test_who_is_demoted_waits_for_nothing_but_connections(self):
        """Not for whatever else the loop is told of."""

        class Told(Watched):
            def on_ready(self, events):
                told.append(events)

        told = []
        readiness = Readiness(itertools.count().__next__)
        (one, theirs), (other, others) = socket.socketpair(), socket.socketpair()
        demoted = Told()
        readiness.watch(one.fileno(), demoted, select.EPOLLIN | select.EPOLLET)
        readiness.demote(one.fileno(), demoted)
        readiness.register(other.fileno(), selectors.EVENT_READ)
        theirs.send(b"now")
        others.send(b"now")
        assert len(readiness.select(None)) == 1
        assert told == [select.EPOLLIN]
        readiness.close()
        for each in (one, theirs, other, others):
            each.close()


class Busy(Watched):
    """Always has something to say, which takes its time, and leaves work for later."""

    def __init__(self, clock, *, seconds, later=0.0):
        super().__init__()
        self.clock = clock
        self.seconds = seconds
        self.later = later
        self.heard = 0
        self.left = 0.0

    def on_ready(self, events):
        del events
        self.clock.now += self.seconds
        self.left += self.later
        self.heard += 1

    def work(self):
        """What was left, as the loop does between two turns."""
        self.clock.now += self.left
        self.left = 0.0


class Clock:
    """One that stands still, unless somebody takes time."""

    now = 1000.0

    def __call__(self):
        return self.now


class TestTheShareOfWhoIsDemoted:
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def watch(self, clock):
        """Have that one heard on so many descriptors that are always ready."""
        self.readiness = Readiness(itertools.count().__next__, clock)
        pairs = []

        def watch(watched, times, *, demoted):
            for _ in range(times):
                pairs.append(socket.socketpair())
                descriptor = pairs[-1][0].fileno()
                self.readiness.watch(descriptor, watched, select.EPOLLOUT)
                if demoted:
                    self.readiness.demote(descriptor, watched)

        yield watch
        self.readiness.close()
        for each in itertools.chain(*pairs):
            each.close()

    @pytest.mark.parametrize("later", [0.0, 0.0002])
    def test_is_one_of_time_whatever_it_is_for(self, clock, watch, later):
        theirs = Busy(clock, seconds=0.0001, later=later)
        others = Busy(clock, seconds=0.0005)
        watch(theirs, 100, demoted=True)
        watch(others, 20, demoted=False)
        begun = clock.now
        for _ in range(2000):
            self.readiness.select(0)
            theirs.work()
        assert others.heard == 2000 * 20
        share = theirs.heard * (theirs.seconds + theirs.later) / (clock.now - begun)
        assert share == pytest.approx(SHARE, rel=0.03)

    def test_is_all_of_it_without_others(self, clock, watch):
        theirs = Busy(clock, seconds=0.001, later=0.01)
        watch(theirs, LOT_AT_REST + 1, demoted=True)
        for turn in range(1, 5):
            self.readiness.select(0)
            theirs.work()
            assert theirs.heard == turn * LOT_AT_REST

    def test_others_are_waited_for_where_they_pause(self, clock, watch):
        theirs, others = (Busy(clock, seconds=0.0001) for _ in range(2))
        watch(theirs, 2 * LOT, demoted=True)
        ours, other = socket.socketpair()
        self.readiness.watch(ours.fileno(), others, select.EPOLLIN | select.EPOLLET)
        for turn in range(1, 4):
            other.send(b"now")
            self.readiness.select(0)  # which earns them less than a lot takes
            assert (others.heard, theirs.heard) == (turn, LOT)
        self.readiness.select(None)  # which waits for others, and not for ever
        assert (others.heard, theirs.heard) == (3, LOT)
        clock.now += REST_SECONDS
        self.readiness.select(None)
        assert (others.heard, theirs.heard) == (3, LOT + 2 * LOT)
        self.readiness.forget(ours.fileno())
        ours.close()
        other.close()


class TestALotAtRest:
    """Those who are demoted, while nobody else has come for a while."""

    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def were_let_in(self):
        """Grows whenever one is heard."""
        return itertools.count()

    @pytest.fixture
    def readiness(self, clock, were_let_in):
        readiness = Readiness(lambda: next(were_let_in), clock)
        yield readiness
        readiness.close()

    @pytest.fixture
    def demoted(self, clock, readiness):
        """More of them than are heard at once, and what each has to say it with."""
        ones = []

        class One(Watched):
            seconds = 1 / 1024 / LOT_AT_REST  # and sums of it are exact
            promotes = None

            def __init__(self):
                super().__init__()
                self.ours, self.theirs = socket.socketpair()
                self.watch()
                readiness.demote(self.ours.fileno(), self)

            def watch(self):
                edges = select.EPOLLIN | select.EPOLLET
                readiness.watch(self.ours.fileno(), self, edges)

            def on_ready(self, events):
                assert events == select.EPOLLIN
                assert turn_of_loop.is_under_way
                turn_of_loop.put_off(lambda: readiness.written.append(self))
                clock.now += self.seconds
                if self.promotes is not None:
                    readiness.promote(self.promotes.ours.fileno(), self.promotes)

            def flush(self):
                assert not turn_of_loop.is_under_way
                told.append(self)

        told = []
        ones += [One() for _ in range(LOT_AT_REST + 2)]
        yield ones, told
        for one in ones:
            one.ours.close()
            one.theirs.close()

    def say(self, *ones):
        for one in ones:
            one.theirs.send(b"now")

    def test_is_heard_in_the_order_in_which_they_came(self, readiness, demoted):
        (*ones, last, behind), told = demoted
        for _ in range(2):
            self.say(*ones)
            readiness.select(0)
            assert told == ones
            told.clear()
        self.say(*ones, last)
        readiness.select(0)
        assert told == ones
        self.say(behind)
        while len(told) < LOT_AT_REST + 2:
            readiness.select(None)
        assert told == [*ones, last, behind]

    def test_is_not_heard_before_others_who_come_with_it(self, readiness, demoted):
        (one, another, promoted, *_), told = demoted
        readiness.promote(promoted.ours.fileno(), promoted)
        self.say(one, another, promoted)
        readiness.select(0)
        assert told == [promoted, one, another]

    def test_has_everyone_heard_who_is_promoted_meanwhile(self, readiness, demoted):
        (one, another, *_), told = demoted
        one.promotes = another
        self.say(one, another)
        readiness.select(0)
        assert told == [one, another]

    def test_is_not_owed_but_for_the_last(self, readiness, demoted):
        (promoted, *_, one, another), told = demoted
        readiness.promote(promoted.ours.fileno(), promoted)
        for _ in range(8):
            self.say(one)
            readiness.select(0)
        told.clear()
        promoted.seconds = 4 * one.seconds  # of which they get a third
        self.say(promoted, another)
        readiness.select(0)
        assert told == [promoted, another]

    @pytest.mark.parametrize(
        ("were_let_in", "most"),
        [(itertools.count(), LOT), (itertools.repeat(-1), LOT_AT_REST)],
    )
    def test_is_smaller_while_others_are_let_in(self, readiness, demoted, most):
        (promoted, *ones, _, _), told = demoted
        readiness.promote(promoted.ours.fileno(), promoted)
        self.say(promoted)
        readiness.select(0)
        self.say(*ones)
        readiness.select(0)
        assert told == [promoted, *ones[:most]]

    def test_has_nobody_in_it_who_was_forgotten(self, readiness, demoted):
        (one, another, *_), told = demoted
        readiness.forget(one.ours.fileno())
        descriptor = one.ours.fileno()
        one.ours.close()
        one.theirs.close()
        one.ours, one.theirs = socket.socketpair()
        assert one.ours.fileno() == descriptor
        one.watch()
        self.say(another, one)
        readiness.select(0)
        assert told == [one, another]


class TestReading:
    async def test_everything_comes_however_much_at_once(self):
        recorder, theirs = attach()
        await asyncio.to_thread(theirs.sendall, LARGE)
        theirs.close()
        await until(lambda: "lost" in recorder.told)
        assert recorder.received == LARGE
        assert recorder.told[-2:] == ["eof", "lost"]

    @pytest.mark.parametrize("size", [1, READ_SIZE - 1, READ_SIZE, READ_SIZE + 1])
    async def test_the_end_is_heard_with_what_came_before(self, size):
        recorder, theirs = attach()
        theirs.sendall(b"x" * size)
        theirs.close()
        await until(lambda: "lost" in recorder.told)
        assert recorder.received == b"x" * size

    async def test_what_came_while_it_paused_is_read_when_it_goes_on(self):
        recorder, theirs = attach()
        recorder.transport.pause_reading()
        theirs.sendall(b"early")
        other, beside = attach()
        beside.sendall(b"x")
        await until(lambda: other.received)  # the loop has asked the kernel since
        assert recorder.received == b""
        recorder.transport.resume_reading()
        await until(lambda: recorder.received == b"early")
        theirs.close()
        beside.close()
        await until(lambda: "lost" in recorder.told)

    async def test_nothing_is_told_after_closing(self):
        recorder, theirs = attach()
        with theirs:
            theirs.sendall(b"never read")
            recorder.transport.close()
            recorder.transport.close()
            recorder.transport.abort()
            await until(lambda: "lost" in recorder.told)
            assert recorder.told == ["made", "lost"]

    async def test_nothing_more_is_read_for_who_closes_at_what_came(self):
        recorder, theirs = attach(closes=True)
        recorder.transport.pause_reading()
        await asyncio.to_thread(theirs.sendall, b"x" * 3 * READ_SIZE)
        recorder.transport.resume_reading()
        await until(lambda: "lost" in recorder.told)
        theirs.close()
        assert recorder.told == ["made", "data", "lost"]

    async def test_who_was_told_of_the_end_is_let_go(self):
        recorder, theirs = attach()
        theirs.close()
        told = recorder.told
        await until(lambda: "lost" in told)
        held = weakref.ref(recorder)
        gc.disable()
        try:
            del recorder
            assert held() is None
        finally:
            gc.enable()

    async def test_whoever_is_lost_hears_no_more_of_it(self):
        """As one for whom the kernel's word was kept until its turn."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        reported = []
        recorder, theirs = attach()
        recorder.transport.write(LARGE)  # which is more than is taken
        await until(lambda: "pause" in recorder.told)
        recorder.transport.abort()
        await until(lambda: "lost" in recorder.told)
        recorder.transport.on_ready(select.EPOLLIN | select.EPOLLOUT)
        assert recorder.told == ["made", "pause", "lost"]
        assert reported == []
        theirs.close()

    async def test_one_that_stays_may_answer_and_hears_of_a_break(self):
        recorder, theirs = attach(stays=True)
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in recorder.told)
        recorder.transport.write(b"still here")
        assert await asyncio.to_thread(theirs.recv, 100) == b"still here"
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        await until(lambda: "lost" in recorder.told)


STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["write", "write_now"]),
        st.sampled_from([0, 1, 2, 70_000, 3_000_000]),
    ),
    st.tuples(st.just("they write"), st.sampled_from([1, READ_SIZE, 150_000])),
    st.tuples(
        st.sampled_from(
            [
                *("pause", "resume", "end", "close", "they read", "turn", "turn"),
                *("demote", "promote"),
            ]
        ),
        st.none(),
    ),
)


class Pair:
    """A recorder and its other end, and what each should have got of the other."""

    def __init__(self):
        self.recorder, self.theirs = attach(stays=True)
        self.theirs.setblocking(False)
        self.written = self.read = self.they_wrote = b""
        self.ended = self.closed = self.they_ended = False

    def take(self, what, size):
        transport = self.recorder.transport
        if what in ("write", "write_now") and not self.ended:
            data = LARGE[len(self.written) % 977 :][:size]
            getattr(transport, what)(data)
            if not self.closed:
                self.written += data
        elif what == "they write":
            with contextlib.suppress(BlockingIOError, ConnectionError):
                data = LARGE[len(self.they_wrote) % 977 :][:size]
                self.they_wrote += data[: self.theirs.send(data)]
        elif what == "they read":
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while piece := self.theirs.recv(1_000_000):
                    self.read += piece
                self.they_ended = True
        elif what in ("demote", "promote"):
            getattr(transport, what)()
        elif what == "pause":
            transport.pause_reading()
        elif what == "resume" and not self.closed:
            transport.resume_reading()
        elif what == "end" and not (self.ended or self.closed):
            self.ended = True
            transport.write_eof()
        elif what == "close":
            self.closed = True
            transport.close()

    async def finish(self):
        self.take("resume", None)
        if not self.closed:
            await until(lambda: self.recorder.received == self.they_wrote)
        self.take("close", None)
        while not (self.they_ended and "lost" in self.recorder.told):
            self.take("they read", None)
            await asyncio.sleep(0)
        self.theirs.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_in_any_order_everything_comes_once_and_in_its_order(steps):
    async def play():
        pair = Pair()
        heard_all = True
        for what, size in steps:
            if what == "turn":
                await asyncio.sleep(0)
            else:
                pair.take(what, size)
            if pair.closed:
                heard_all = pair.recorder.received == pair.they_wrote
        async with asyncio.timeout(10):
            await pair.finish()
        return pair, heard_all

    with asyncio.Runner(
        loop_factory=lambda: Loop(itertools.count().__next__)
    ) as runner:
        pair, heard_all = runner.run(play())
    event(f"ended {pair.ended}, closed {pair.closed}, heard all {heard_all}")
    told = pair.recorder.told
    assert told.count("made") == told.count("lost") == 1
    assert told[-1] == "lost"
    assert told.count("pause") - told.count("resume") in (0, 1)
    assert pair.they_wrote.startswith(pair.recorder.received)
    # Who closes with something unread resets the connection, and loses what it sent.
    assert pair.written.startswith(pair.read)
    if heard_all:
        assert pair.read == pair.written


@contextlib.asynccontextmanager
async def two_of_a_turn():
    """A recorder, one that is told behind it, and the other end of that."""
    (first, its), (second, theirs) = attach(), attach()
    with its, theirs:
        its.sendall(b"x")
        theirs.sendall(b"now")
        yield first, second, theirs
    await until(lambda: "lost" in first.told and "lost" in second.told)


def read_what_came(recorder):
    assert recorder.transport.get_extra_info("socket").recv(100) == b"now"


class TestTheSecondOfATurn:
    """The kernel has told of something that is not so any more when it is read."""

    async def test_is_told_later_what_comes_then(self):
        async with two_of_a_turn() as (first, second, theirs):
            first.meddle = lambda: read_what_came(second)
            await until(lambda: first.received)
            assert second.told == ["made"]
            theirs.sendall(b"then")
            await until(lambda: second.received)
            assert second.received == b"then"

    async def test_may_have_come_to_its_end(self):
        async with two_of_a_turn() as (first, second, theirs):

            def meddle():
                read_what_came(second)
                theirs.shutdown(socket.SHUT_WR)

            first.meddle = meddle
            await until(lambda: "lost" in second.told)
            assert second.told == ["made", "eof", "lost"]
            assert second.error is None

    async def test_may_be_broken(self):
        async with two_of_a_turn() as (first, second, theirs):

            def meddle():
                read_what_came(second)
                at_once = struct.pack("ii", 1, 0)
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                theirs.close()

            first.meddle = meddle
            await until(lambda: "lost" in second.told)
            assert second.told == ["made", "lost"]
            assert isinstance(second.error, ConnectionResetError)

    @pytest.mark.parametrize("how", ["close", "abort"])
    async def test_hears_nothing_when_it_is_closed(self, how):
        async with two_of_a_turn() as (first, second, _):
            first.meddle = getattr(second.transport, how)
            await until(lambda: "lost" in second.told)
            assert second.told == ["made", "lost"]

    async def test_hears_of_it_when_its_pause_is_over(self):
        async with two_of_a_turn() as (first, second, _):
            first.meddle = second.transport.pause_reading
            await until(lambda: first.received)
            assert second.told == ["made"]
            second.transport.resume_reading()
            await until(lambda: second.received)
            assert second.received == b"now"

    async def test_ends_where_its_protocol_raises(self):
        reported = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        async with two_of_a_turn() as (first, second, _):
            second.fails_at = "data"
            await until(lambda: "lost" in second.told)
            assert [str(each["exception"]) for each in reported] == ["data"]
            assert first.told == ["made", "data"]


class TestFaults:
    @pytest.mark.parametrize("at", ["made", "data", "eof", "resume"])
    async def test_a_protocol_that_raises_ends_its_connection_only(self, at):
        reported = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        recorder, theirs = attach(fails_at=at)
        healthy, beside = attach()
        if at == "resume":
            recorder.transport.write(LARGE)
            await read_all(theirs)  # all of it was taken before it raised
        else:
            theirs.sendall(b"x")
            theirs.shutdown(socket.SHUT_WR)
        await until(lambda: "lost" in recorder.told)
        theirs.close()
        assert [str(each["exception"]) for each in reported] == [at]
        with beside:
            beside.sendall(b"hello")
            await until(lambda: healthy.received == b"hello")


class TestListener:
    async def test_waits_for_descriptors_when_there_are_none(self, monkeypatch):
        monkeypatch.setattr(listeners, "PAUSE_SECONDS", 0.1)
        served = []

        def make():
            served.append(Recorder())
            return served[-1]

        listener = running_loop().listen(
            [socket.create_server(("127.0.0.1", 0))],
            make,
            welcomed=lambda: len(served),
            make_room=lambda _: True,
        )
        waiting = socket.create_connection(listener.sockets[0].getsockname())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        try:
            with capture_logs() as logged:
                for _ in range(5):
                    await asyncio.sleep(0)
            assert not served
            assert [line["log_level"] for line in logged] == ["warning"]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with waiting:
            waiting.sendall(b"patient")
            await until(lambda: served and served[0].received == b"patient")
        listener.close()
        listener.close()
        assert listener.sockets == ()
        await until(lambda: "lost" in served[0].told)

    async def test_goes_on_after_one_who_cannot_be_served(self):
        reported = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context)
        )
        served = []

        def make():
            served.append(Recorder())
            if len(served) == 1:
                raise RuntimeError("a fault of ours")
            return served[-1]

        listener = running_loop().listen(
            [socket.create_server(("127.0.0.1", 0))],
            make,
            welcomed=lambda: 0,
            make_room=lambda _: True,
        )
        address = listener.sockets[0].getsockname()
        first, second = (socket.create_connection(address) for _ in range(2))
        with first, second:
            second.sendall(b"served")
            await until(lambda: len(served) == 2 and served[1].received == b"served")
            assert await asyncio.to_thread(first.recv, 1) == b""
        assert len(reported) == 1
        listener.close()
        await until(lambda: "lost" in served[1].told)


class TestWhoComes:
    """To a listener, beside others who are told by the same kernel."""

    SECONDS = 0.0005

    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def readiness(self, clock):
        readiness = Readiness(itertools.count().__next__, clock)
        yield readiness
        readiness.close()

    @pytest.fixture
    def taken(self):
        return []

    @pytest.fixture
    async def listener(self, clock, readiness, taken):
        """One whose connections take that time each."""

        def take(connected):
            assert turn_of_loop.is_under_way
            taken.append(connected)
            clock.now += self.SECONDS

        self.listener = listener = Listener(
            asyncio.get_running_loop(),
            readiness,
            [socket.create_server(("127.0.0.1", 0), backlog=1000)],
            take,
            lambda: 0,
        )
        yield listener
        listener.close()
        for each in taken:
            each.close()

    @pytest.fixture
    def come(self, listener):
        """Have so many connect."""
        clients = []

        def come(number):
            address = listener.sockets[0].getsockname()
            clients.extend(socket.create_connection(address) for _ in range(number))

        yield come
        for each in clients:
            each.close()

    @pytest.fixture
    def watch(self, clock, readiness):
        """Have one heard who always has something to say."""
        pairs = []

        def watch(*, demoted=False, seconds=0.0001):
            watched = Busy(clock, seconds=seconds)
            pairs.append(socket.socketpair())
            descriptor = pairs[-1][0].fileno()
            readiness.watch(descriptor, watched, select.EPOLLOUT)
            if demoted:
                readiness.demote(descriptor, watched)
            return watched

        yield watch
        for each in itertools.chain(*pairs):
            each.close()

    async def test_waits_for_who_is_there(self, clock, readiness, taken, come, watch):
        others = watch()
        readiness.select(0)
        come(arrivals.LOT + 1)
        heard = others.heard
        readiness.select(0)
        assert (others.heard, len(taken)) == (heard + 1, arrivals.LOT)
        for turn in range(2, 40):
            readiness.select(0)
            assert others.heard == heard + turn
        assert len(taken) == arrivals.LOT
        clock.now += 4 * arrivals.LOT * self.SECONDS
        readiness.select(0)
        assert len(taken) == arrivals.LOT + 1

    async def test_is_not_forgotten_where_nobody_else_comes(
        self, clock, readiness, taken, come
    ):
        """The kernel tells of it once; until its turn, others are waited for."""
        others = Busy(clock, seconds=0.0001)
        ours, theirs = socket.socketpair()
        edges = select.EPOLLIN | select.EPOLLET
        with ours, theirs:
            readiness.watch(ours.fileno(), others, edges)
            theirs.send(b"now")
            readiness.select(None)
            come(arrivals.LOT + 1)
            readiness.select(None)
            assert len(taken) == arrivals.LOT
            readiness.select(None)
            assert (others.heard, len(taken)) == (1, arrivals.LOT)
            clock.now += 4 * arrivals.LOT * self.SECONDS
            readiness.select(None)
            assert len(taken) == arrivals.LOT + 1
            readiness.forget(ours.fileno())

    async def test_is_taken_beside_whoever_is_demoted(
        self, readiness, taken, come, watch
    ):
        demoted = watch(demoted=True)
        readiness.select(0)
        come(arrivals.LOT_AT_REST + 1)
        readiness.select(0)
        assert len(taken) == arrivals.LOT_AT_REST
        readiness.select(0)
        assert len(taken) == arrivals.LOT_AT_REST + 1
        assert demoted.heard == 3

    async def test_takes_the_time_of_nobody_else(
        self, clock, readiness, taken, come, watch
    ):
        others = [watch() for _ in range(10)]
        demoted = [watch(demoted=True) for _ in range(100)]
        readiness.select(0)
        for each in demoted:
            each.heard = 0
        for each in others:
            each.heard = 0
        come(900)
        begun = clock.now
        while len(taken) < 900:
            readiness.select(0)
        spent = clock.now - begun
        theirs = sum(each.heard for each in demoted)
        calm = sum(each.heard for each in others)
        share = len(taken) * self.SECONDS / spent
        assert share == pytest.approx(arrivals.SHARE, rel=0.1)
        assert theirs / (theirs + calm) == pytest.approx(SHARE, rel=0.1)

    async def test_is_taken_no_more_once_it_is_closed(
        self, clock, readiness, taken, come, watch
    ):
        watch()
        readiness.select(0)
        come(3 * arrivals.LOT)
        for _ in range(5):
            readiness.select(0)
        assert len(taken) == arrivals.LOT
        with capture_logs() as logged:
            self.listener.close()
            clock.now += 1.0
            readiness.select(0)
        assert (len(taken), logged) == (arrivals.LOT, [])
