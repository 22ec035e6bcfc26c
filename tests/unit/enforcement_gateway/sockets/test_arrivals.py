"""Whoever comes is taken after those who are there, and costs them a share at most."""

from itertools import count

import pytest

from enforcement_gateway.sockets.arrivals import (
    LOT,
    LOT_AT_REST,
    MOST_OWED,
    SHARE,
    Arrivals,
)
from enforcement_gateway.sockets.demotion import REST_SECONDS, Waiting

MILLISECOND = 1 / 1024  # and its sums are exact
ONE = MILLISECOND / LOT
"""Seconds that one takes who comes: a millisecond of a lot."""


class Clock:
    """One that stands still, unless a test has time pass."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Crowd:
    """An entrance where so many wait; to take one takes `seconds`."""

    def __init__(self, clock, size, seconds=ONE):
        self.clock = clock
        self.size = size
        self.seconds = seconds
        self.lots = []

    def take(self, most):
        found = min(most, self.size)
        self.size -= found
        self.clock.now += found * self.seconds
        self.lots.append(found)
        return found


class Scene:
    """Arrivals, while others are let in whenever they are heard."""

    def __init__(self):
        self.clock = Clock()
        self.waiting = Waiting(count().__next__, self.clock)
        self.arriving = []
        self.welcomed = 0
        self.arrivals = Arrivals(
            self.waiting, self.arriving, lambda: self.welcomed, self.clock
        )

    def others_take(self, seconds):
        self.waiting.start()
        self.clock.now += seconds
        self.waiting.note_others()

    def crowd(self, size=10 * LOT, seconds=ONE):
        crowd = Crowd(self.clock, size, seconds)
        self.arrivals.come(crowd)
        return crowd

    def take_lot(self, *, welcomed=0):
        """How many of a lot were due; as many of them are let in at once."""
        most = self.arrivals.due()
        if most:
            self.arrivals.take(most)
            self.welcomed += welcomed
            self.arrivals.pay()
        return most


@pytest.fixture
def scene():
    scene = Scene()
    scene.others_take(MILLISECOND)
    return scene


class TestTheirShare:
    def test_is_one_of_all_the_time_while_others_are_let_in(self, scene):
        crowd = scene.crowd(10**6)
        begun = scene.clock.now
        for _ in range(5000):
            scene.others_take(MILLISECOND / 8)
            scene.take_lot()
        share = sum(crowd.lots) * ONE / (scene.clock.now - begun)
        assert share == pytest.approx(SHARE, rel=0.05)

    def test_others_have_theirs_where_they_pause_too(self, scene):
        scene.crowd()
        assert scene.arrivals.patience(None) == 0.0
        assert scene.take_lot() == LOT
        owed = MILLISECOND * (1 - SHARE) / SHARE
        assert scene.arrivals.patience(None) == owed
        assert scene.arrivals.patience(owed / 2) == owed / 2
        assert scene.arrivals.patience(2 * owed) == owed
        scene.clock.now += owed / 2
        assert scene.take_lot() == 0
        assert scene.arrivals.patience(None) == owed / 2
        scene.clock.now += owed / 2
        assert scene.take_lot() == LOT

    def test_is_all_while_nothing_is_let_in(self, scene):
        scene.crowd()
        scene.take_lot()
        assert scene.take_lot() == 0
        scene.clock.now += REST_SECONDS
        scene.waiting.start()
        for _ in range(2):
            assert scene.arrivals.patience(None) == 0.0
            assert scene.take_lot() == LOT_AT_REST

    def test_is_not_saved(self, scene):
        scene.take_lot()
        scene.welcomed += 1000
        scene.others_take(REST_SECONDS / 2)
        scene.crowd()
        assert [scene.take_lot() for _ in range(2)] == [LOT, 0]

    def test_is_not_lost_for_long_by_a_lot_that_took_long(self, scene):
        """As when the process was stopped meanwhile."""
        scene.crowd(seconds=2.0)
        scene.take_lot()
        scene.others_take(MOST_OWED / 2)
        assert scene.take_lot() == 0
        scene.others_take(MOST_OWED / 2 + MILLISECOND)
        assert scene.take_lot() == LOT


class TestWhoIsLetIn:
    def test_costs_nothing(self, scene):
        crowd = scene.crowd()
        for _ in range(10):
            assert scene.take_lot(welcomed=LOT) == LOT
        assert crowd.lots == [LOT] * 10

    def test_costs_nothing_in_the_end_when_that_turns_out_later(self, scene):
        scene.crowd()
        scene.take_lot(welcomed=LOT // 4)
        owed = 3 / 4 * MILLISECOND * (1 - SHARE) / SHARE
        assert scene.arrivals.patience(None) == owed
        scene.welcomed += LOT // 2
        scene.clock.now += owed / 4
        assert scene.take_lot() == 0
        scene.welcomed += LOT // 4
        assert scene.take_lot() == LOT


class TestEntrances:
    def test_share_a_lot(self, scene):
        crowds = [scene.crowd(LOT) for _ in range(2)]
        assert scene.arriving == [scene.arrivals]
        scene.take_lot()
        assert [crowd.lots for crowd in crowds] == [[LOT // 2]] * 2

    def test_are_left_alone_when_nobody_is_there(self, scene):
        few, many = scene.crowd(1), scene.crowd(2 * LOT)
        for size in (LOT // 2, LOT, LOT // 2):
            assert scene.arriving == [scene.arrivals]
            scene.take_lot()
            scene.clock.now += 3 * MILLISECOND
            assert (few.lots, many.lots[-1]) == ([1], size)
        assert scene.arriving == []

    def test_that_are_closed_are_looked_at_no_more(self, scene):
        crowds = [scene.crowd() for _ in range(2)]
        for crowd in crowds:
            scene.arrivals.leave(crowd)
            scene.arrivals.leave(crowd)
        assert scene.arriving == []

    def test_are_none_of_the_others(self, scene):
        scene.waiting.start()
        scene.crowd()
        assert scene.waiting.told == 1
