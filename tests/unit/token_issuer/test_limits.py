"""So many a minute, for each name, in bounded memory."""

from datetime import timedelta

from token_issuer.limits import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def used_up(limit: RateLimit, name: str) -> int:
    """How often `name` is allowed until it has to wait."""
    count = 0
    while limit.wait_for(name) is None:
        limit.count(name)
        count += 1
    return count


def test_a_minutes_worth_can_be_spent_at_once() -> None:
    assert used_up(RateLimit(60, clock=Clock()), "a") == 60
    assert used_up(RateLimit(1, clock=Clock()), "a") == 1


def test_then_one_is_allowed_each_time_its_share_of_a_minute_has_passed() -> None:
    clock = Clock()
    limit = RateLimit(60, clock=clock)
    used_up(limit, "a")

    wait = limit.wait_for("a")
    assert wait is not None
    assert timedelta(seconds=0.99) < wait <= timedelta(seconds=1)

    clock.now += 1
    assert used_up(limit, "a") == 1
    clock.now += 10
    assert used_up(limit, "a") == 10


def test_rest_is_not_saved_up_beyond_a_minute() -> None:
    clock = Clock()
    limit = RateLimit(60, clock=clock)
    used_up(limit, "a")

    clock.now += 3600

    assert used_up(limit, "a") == 60


def test_one_name_does_not_use_up_the_share_of_another() -> None:
    limit = RateLimit(60, clock=Clock())
    used_up(limit, "a")

    assert used_up(limit, "b") == 60


def test_counting_on_while_waiting_does_not_lengthen_the_wait_for_ever() -> None:
    """Failures are counted whenever they happen: a flood is over when it ends."""
    clock = Clock()
    limit = RateLimit(60, clock=clock)
    for _ in range(100_000):
        limit.count("a")

    clock.now += 2

    assert limit.wait_for("a") is None


def test_memory_is_bounded_and_the_silent_are_forgotten_first() -> None:
    clock = Clock()
    limit = RateLimit(1, capacity=3, clock=clock)
    for name in "abc":
        limit.count(name)
    limit.count("a")

    limit.count("d")

    assert len(limit) == 3
    assert limit.wait_for("b") is None
    assert limit.wait_for("a") is not None


def test_what_is_taken_is_counted_and_what_is_refused_is_not() -> None:
    clock = Clock()
    limit = RateLimit(2, clock=clock)
    assert [limit.take("app") for _ in range(2)] == [None, None]
    assert [limit.take("app") for _ in range(3)] == [timedelta(seconds=30)] * 3
    clock.now += 30
    assert limit.take("app") is None
    assert limit.take("app") is not None
