"""Who was refused is heard last, and still heard, however much others have to say."""

import select
from itertools import count

import pytest

from enforcement_gateway.sockets.demotion import (
    LOT,
    LOT_AT_REST,
    MOST_OWED,
    MOST_SAVED,
    REST_SECONDS,
    SHARE,
    Demoted,
    Waiting,
)
from enforcement_gateway.sockets.watched import Watched

MILLISECOND = 1 / 1024  # and its sums are exact


class Clock:
    """One that stands still, unless a test has time pass."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Recorder(Watched):
    """Notes what it is told, and takes its time."""

    def __init__(self, told, clock, seconds=0.0):
        super().__init__()
        self.told = told
        self.clock = clock
        self.seconds = seconds

    def on_ready(self, events):
        self.told.append((self, events))
        self.clock.now += self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def waiting(clock):
    """Whoever is heard is let in."""
    return Waiting(count().__next__, clock)


def others_take(waiting, clock, seconds):
    waiting.start()
    clock.now += seconds
    waiting.note_others()


class TestDemoted:
    def test_is_told_once_all_that_it_was_to_be_told_before(self, waiting, clock):
        told = []
        one, two = (Recorder(told, clock) for _ in range(2))
        first, second = (Demoted(each, waiting) for each in (one, two))
        waiting.start()
        for demoted, events in ((first, 1), (second, 4), (first, 4)):
            demoted.on_ready(events)
        assert told == []
        assert (waiting.told, len(waiting.queue)) == (3, 2)
        waiting.hear(LOT)
        assert told == [(one, 5), (two, 4)]
        assert not waiting.queue
        first.on_ready(4)
        waiting.hear(LOT)
        assert told[2:] == [(one, 4)]

    @pytest.mark.parametrize(
        "end", [select.EPOLLRDHUP, select.EPOLLHUP, select.EPOLLERR]
    )
    def test_who_says_no_more_is_heard_at_once(self, waiting, clock, end):
        """With what it had to say before, which is told once."""
        told = []
        one, another = (Recorder(told, clock) for _ in range(2))
        first, second = (Demoted(each, waiting) for each in (one, another))
        waiting.start()
        first.on_ready(select.EPOLLOUT)
        second.on_ready(select.EPOLLIN)
        first.on_ready(select.EPOLLIN | end)
        assert told == [(one, select.EPOLLOUT | select.EPOLLIN | end)]
        assert waiting.told == 3
        waiting.hear(LOT)
        assert told[1:] == [(another, select.EPOLLIN)]

    def test_who_may_still_be_written_to_is_heard_in_turn(self, waiting, clock):
        told = []
        demoted = Demoted(Recorder(told, clock), waiting)
        demoted.on_ready(select.EPOLLIN)
        demoted.on_ready(select.EPOLLRDHUP)
        told.clear()
        demoted.on_ready(select.EPOLLOUT)
        assert told == []
        waiting.hear(LOT)
        assert [events for _, events in told] == [select.EPOLLOUT]

    def test_no_more_are_heard_than_is_their_turn(self, waiting, clock):
        told = []
        ones = [Recorder(told, clock) for _ in range(LOT + 1)]
        for each in ones:
            Demoted(each, waiting).on_ready(1)
        waiting.hear(LOT)
        assert [one for one, _ in told] == ones[:LOT]
        waiting.hear(LOT)
        assert [one for one, _ in told] == ones


class TestTheirShare:
    def test_is_all_where_nobody_else_has_come_for_a_while(self, waiting, clock):
        assert waiting.due(others=False) == LOT_AT_REST
        for _ in range(2):
            others_take(waiting, clock, MILLISECOND)
            assert waiting.due(others=False) == LOT
            clock.now += REST_SECONDS
            waiting.start()
            assert waiting.due(others=False) == LOT_AT_REST

    def test_is_all_where_nobody_else_is_let_in(self, clock):
        """As when a flood begins: its first requests come as those of others do."""
        let_in = 7
        waiting = Waiting(lambda: let_in, clock)
        others_take(waiting, clock, MILLISECOND)
        assert waiting.due(others=False) == LOT
        clock.now += REST_SECONDS
        for _ in range(2):
            others_take(waiting, clock, MILLISECOND)
            assert waiting.due(others=False) == LOT_AT_REST
            clock.now += 2 * MILLISECOND
            waiting.note_own()
            Demoted(Recorder([], clock), waiting).on_ready(1)
            assert waiting.patience(None) == 0.0
        let_in += 1
        others_take(waiting, clock, MILLISECOND)
        assert waiting.due(others=False) == 0
        assert waiting.patience(None) > 0.0

    def test_is_a_lot_when_it_is_owed_to_them(self, waiting, clock):
        others_take(waiting, clock, MILLISECOND)
        for others in (True, False):
            assert waiting.due(others=others) == LOT
        clock.now += MILLISECOND
        waiting.note_own()
        others_take(waiting, clock, 0.0)
        for others in (True, False):
            assert waiting.due(others=others) == 0

    def test_is_half_of_what_others_leave(self, waiting, clock):
        """They are waited for as long as was taken without them."""
        Demoted(Recorder([], clock), waiting).on_ready(1)
        others_take(waiting, clock, 0.0)
        clock.now += 3 * MILLISECOND
        waiting.note_own()
        assert waiting.patience(None) == 3 * MILLISECOND
        for shorter in (0, MILLISECOND):  # the loop has other work then
            assert waiting.patience(shorter) == shorter
        assert waiting.patience(4 * MILLISECOND) == 3 * MILLISECOND
        clock.now += 2 * MILLISECOND
        waiting.start()
        assert waiting.due(others=False) == 0
        waiting.note_own()
        assert waiting.patience(None) == MILLISECOND
        clock.now += 2 * MILLISECOND
        waiting.start()
        assert waiting.due(others=False) == LOT
        waiting.note_own()
        assert waiting.patience(None) == 0.0

    def test_is_waited_for_by_nobody_where_others_are_at_rest(self, waiting, clock):
        Demoted(Recorder([], clock), waiting).on_ready(1)
        others_take(waiting, clock, 0.0)
        clock.now += REST_SECONDS
        waiting.note_own()
        assert waiting.patience(None) == 0.0

    def test_is_for_those_who_wait(self, waiting, clock):
        clock.now += MILLISECOND
        waiting.note_own()
        others_take(waiting, clock, 0.0)
        for timeout in (None, 0, 1.0):
            assert waiting.patience(timeout) == timeout

    @pytest.mark.parametrize(
        "cost",
        [MILLISECOND / 64, MILLISECOND / 4, MILLISECOND, 1.5 * REST_SECONDS / LOT],
    )
    def test_is_kept_while_others_have_work_for_all_of_the_time(
        self, waiting, clock, cost
    ):
        """As where each turn of others takes two milliseconds."""
        told = []
        many = [Demoted(Recorder(told, clock, cost), waiting) for _ in range(8 * LOT)]
        begun = clock.now
        for _ in range(4000):
            waiting.note_own()
            others_take(waiting, clock, 2 * MILLISECOND)
            for each in many:
                each.on_ready(1)
            while most := waiting.due(others=True):
                waiting.hear(most)
                waiting.note_own()
        theirs = len(told) * cost
        assert theirs / (clock.now - begun) == pytest.approx(SHARE, rel=0.02)

    def test_counts_what_the_loop_does_for_them_later(self, waiting, clock):
        """Signatures are looked at between two turns."""
        others_take(waiting, clock, 3 * MILLISECOND)
        assert waiting.due(others=True) == LOT
        clock.now += MILLISECOND
        waiting.note_own()
        others_take(waiting, clock, 0.0)
        assert waiting.due(others=True) == 0

    def test_is_nothing_of_the_time_in_which_nobody_waited(self, waiting, clock):
        waiting.note_own()
        clock.now += 10.0
        others_take(waiting, clock, 0.0)
        assert waiting.due(others=True) == 0

    def test_comes_again_however_much_one_lot_took(self, waiting, clock):
        clock.now += 1000 * MOST_OWED
        waiting.note_own()
        until_then = MOST_OWED * (1 - SHARE) / SHARE
        turns = int(until_then / MILLISECOND)
        for _ in range(turns):
            others_take(waiting, clock, MILLISECOND)
            assert waiting.due(others=True) == 0
        others_take(waiting, clock, MILLISECOND)
        assert waiting.due(others=True) == LOT

    def test_owes_nothing_for_what_nobody_else_wanted(self, waiting, clock):
        clock.now += 1000 * MOST_OWED
        waiting.note_own()
        waiting.start()
        assert waiting.due(others=False) == LOT_AT_REST
        others_take(waiting, clock, MILLISECOND)
        assert waiting.due(others=True) == LOT

    def test_is_not_saved_for_long(self, waiting, clock):
        others_take(waiting, clock, 1000.0)
        clock.now += MOST_SAVED
        waiting.note_own()
        others_take(waiting, clock, 0.0)
        assert waiting.due(others=True) == 0
