"""A subscription against a log in memory: every promise that needs no server."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tollgate.events.registry import (
    AccessTokenUsed,
    MemberAdded,
    OAuthAppCreated,
    OAuthAppRenamed,
    ScopesChanged,
)
from tollgate.messaging.messages import EventMessage, headers_of, messages_of
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.replica import Replica
from tollgate.registry.state import RegistryState
from tollgate.testing.memory_log import MemoryLog
from tollgate.testing.waiting import until

SOON = timedelta(seconds=5)
FAST = timedelta(milliseconds=10)
LONG_POLL = 2
"""The read that a subscription to a log at rest stays in; the one before brings all."""

CREATED = OAuthAppCreated(
    workspace_id="ws_1", name="web", token_lifetime=86_400, scopes=()
)


class Clock:
    """Two hands that a test moves."""

    def __init__(self) -> None:
        self.boottime, self.wall = 1_000.0, 1_800_000_000.0

    def __call__(self) -> Moment:
        return Moment(self.boottime, self.wall)

    def pass_by(self, seconds: float) -> None:
        self.boottime += seconds
        self.wall += seconds


class Reader:
    """A subscription with what a test looks at."""

    def __init__(
        self,
        log: MemoryLog,
        *,
        max_age: timedelta | None = None,
        poll_interval: timedelta = FAST,
    ) -> None:
        self.clock = Clock()
        self.metrics = CollectorRegistry()
        self.subscription = Subscription(
            log,
            RegistryState,
            metrics=SubscriptionMetrics(self.metrics),
            poll_interval=poll_interval,
            max_age=max_age,
            clock=self.clock,
        )

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.get_sample_value(name, {"log": "registry", **labels}) or 0.0


@asynccontextmanager
async def reading(reader: Reader) -> AsyncIterator[Subscription[RegistryState]]:
    task = asyncio.create_task(reader.subscription.run())
    try:
        yield reader.subscription
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def log_of(count: int, *, whole: bool = True) -> MemoryLog:
    log = MemoryLog(whole=whole)
    extend(log, count)
    return log


def extend(log: MemoryLog, count: int) -> None:
    for _ in range(count):
        number = len(log.events)
        stream = f"oauth_app-app_{number % 3}"
        if number < 3:
            log.append(stream, CREATED)
        else:
            log.append(stream, OAuthAppRenamed(name=f"name {number}"))


def fold(log: MemoryLog, to: int | None = None) -> bytes:
    state = RegistryState()
    for recorded in log.events[:to]:
        state.apply(recorded)
    return state.dump()


def messages(
    log: MemoryLog, sizes: Iterator[int]
) -> Iterator[tuple[EventMessage, bytes]]:
    position = 0
    while position < len(log.events):
        batch = log.events[position : position + next(sizes)]
        yield from messages_of(log.log, log.hash_at(position), batch)
        position = batch[-1].position


class TestPolling:
    async def test_everything_arrives_without_a_broker(self) -> None:
        log = log_of(1203)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.position == 1203)
            extend(log, 7)
            await until(lambda: subscription.position == 1210)
            assert subscription.state.dump() == fold(log)

    async def test_a_log_that_is_down_is_read_again_when_it_is_up(self) -> None:
        log = log_of(3)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 3)
            log.down = True
            await until(lambda: subscription.status().trouble == "down")
            extend(log, 1)
            log.down = False
            await until(lambda: subscription.status().trouble is None)
            assert subscription.position == 4

    async def test_a_broker_that_delivers_ends_the_long_polls(self) -> None:
        log = log_of(1)
        reader = Reader(log, poll_interval=timedelta(seconds=60))
        async with reading(reader) as subscription:
            await until(lambda: log.reads == LONG_POLL)
            subscription.push_started()
            extend(log, 1)  # answers the long poll that is under way
            await until(lambda: subscription.position == 2)
            assert reader.count("tollgate_log_pushed") == 1


class TestAge:
    async def test_it_counts_from_the_moment_the_poll_was_sent(self) -> None:
        log = log_of(2)
        reader = Reader(log)
        log.answering.clear()
        async with reading(reader) as subscription:
            await until(lambda: log.reads == 1)
            assert subscription.polled_at is None
            assert not subscription.ready
            reader.clock.pass_by(7)
            log.down = False
            log.answering.set()
            await until(lambda: subscription.polled_at is not None)
            log.down = True
            await until(lambda: subscription.status().trouble is not None)
            polled_at = subscription.polled_at
            assert polled_at is not None
            assert subscription.age() == reader.clock.boottime - polled_at.boottime

    async def test_it_grows_while_the_log_cannot_be_read(self) -> None:
        log = log_of(2)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.ready)
            log.down = True
            await until(lambda: subscription.status().trouble is not None)
            reader.clock.pass_by(271)
            assert subscription.age() >= 271
            assert not subscription.ready
            reader.clock.pass_by(30)
            assert subscription.age() > subscription.max_age
            log.down = False
            await until(lambda: subscription.ready)

    async def test_a_wall_clock_set_back_takes_no_age_away(self) -> None:
        log = log_of(1)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.ready)
            log.down = True
            await until(lambda: subscription.status().trouble is not None)
            reader.clock.wall -= 3600
            reader.clock.boottime += 100
            assert subscription.age() >= 100

    async def test_a_wall_clock_set_forward_is_believed(self) -> None:
        log = log_of(1)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.ready)
            log.down = True
            await until(lambda: subscription.status().trouble is not None)
            reader.clock.wall += 3600
            assert subscription.age() >= 3600

    async def test_what_is_pushed_makes_nothing_younger(self) -> None:
        log = log_of(3)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.ready)
            log.down = True
            await until(lambda: subscription.status().trouble is not None)
            reader.clock.pass_by(50)
            extend(log, 1)
            for message, body in messages(log, iter([4])):
                await subscription.deliver(headers_of(message), body)
            assert subscription.position == 4
            assert subscription.age() >= 50

    @pytest.mark.parametrize(("own", "used"), [(60, 60), (900, 300), (None, 300)])
    async def test_max_age_can_only_be_shortened(
        self, own: int | None, used: int
    ) -> None:
        log = log_of(1)
        max_age = None if own is None else timedelta(seconds=own)
        async with reading(Reader(log, max_age=max_age)) as subscription:
            await until(lambda: subscription.ready)
            assert subscription.max_age == used

    async def test_the_owner_may_shorten_it_while_we_run(self) -> None:
        log = log_of(1)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.ready)
            log.max_age = timedelta(seconds=30)
            await until(lambda: subscription.max_age == 30)


class TestRefresh:
    async def test_it_shows_what_was_in_the_log_when_it_was_asked(self) -> None:
        log = log_of(1)
        reader = Reader(log, poll_interval=timedelta(seconds=60))
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 1)
            subscription.push_started()
            for count in range(2, 6):
                extend(log, 1)
                await subscription.refresh(SOON)
                assert subscription.position == count

    async def test_one_read_serves_all_who_asked_before_it_was_sent(self) -> None:
        log = log_of(1)
        reader = Reader(log, poll_interval=timedelta(seconds=60))
        async with reading(reader) as subscription:
            await until(lambda: log.reads == LONG_POLL)
            await asyncio.gather(*(subscription.refresh(SOON) for _ in range(100)))
            assert log.reads <= LONG_POLL + 1

    async def test_a_read_already_sent_does_not_count(self) -> None:
        log = log_of(1)
        reader = Reader(log, poll_interval=timedelta(seconds=60))
        async with reading(reader) as subscription:
            await until(lambda: log.reads == LONG_POLL)
            log.answering.clear()
            first = asyncio.create_task(subscription.refresh(SOON))
            before = log.reads
            await until(lambda: log.reads == before + 1)
            second = asyncio.create_task(subscription.refresh(SOON))
            await asyncio.sleep(0)
            log.answering.set()
            await asyncio.gather(first, second)
            assert log.reads == before + 2

    async def test_it_gives_up_in_time_when_the_log_does_not_answer(self) -> None:
        log = log_of(1)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.ready)
            log.answering.clear()
            with pytest.raises(NotLevel):
                await subscription.refresh(FAST)
            log.answering.set()
            await subscription.refresh(SOON)

    async def test_it_says_so_when_the_log_is_down(self) -> None:
        log = log_of(1)
        log.down = True
        async with reading(Reader(log)) as subscription:
            with pytest.raises(NotLevel, match="down"):
                await subscription.refresh(SOON)

    async def test_one_caller_who_leaves_takes_nobody_along(self) -> None:
        log = log_of(1)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.ready)
            log.answering.clear()
            leaving = asyncio.create_task(subscription.refresh(SOON))
            staying = asyncio.create_task(subscription.refresh(SOON))
            await asyncio.sleep(0)
            leaving.cancel()
            log.answering.set()
            await staying

    async def test_whoever_waits_for_a_position_sees_it(self) -> None:
        log = log_of(1)
        reader = Reader(log, poll_interval=timedelta(seconds=60))
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 1)
            extend(log, 2)
            await subscription.wait_for(3, SOON)
            assert subscription.position == 3
            with pytest.raises(NotLevel):
                await subscription.wait_for(4, FAST)


class TestAnotherHistory:
    async def test_a_log_put_back_is_read_anew(self) -> None:
        log = log_of(9)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 9)
            log.put_back(4)
            log.append("oauth_app-app_0", ScopesChanged(scopes=("functions:write",)))
            await until(lambda: subscription.generation == 1)
            assert subscription.position == 5
            assert subscription.state.dump() == fold(log)
            assert reader.count("tollgate_log_rebuilds_total") == 1

    async def test_a_log_put_back_and_grown_past_us_is_read_anew(self) -> None:
        log = log_of(9)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.position == 9)
            log.down = True
            log.put_back(4)
            for number in range(20):
                log.append("oauth_app-app_1", OAuthAppRenamed(name=f"other {number}"))
            log.down = False
            await until(lambda: subscription.position == 24)
            assert subscription.state.dump() == fold(log)

    async def test_meanwhile_the_old_state_answers_and_ages(self) -> None:
        log = log_of(600)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.ready)
            old, polled_at = subscription.state, subscription.polled_at
            log.put_back(599)

            def hang_in_the_middle() -> None:
                if subscription.status().rebuilding:
                    log.answering.clear()

            log.on_read = hang_in_the_middle
            await until(lambda: not log.answering.is_set())
            reader.clock.pass_by(40)
            assert subscription.state is old
            assert subscription.age() >= 40
            assert subscription.polled_at == polled_at
            extend(log, 1)
            late = next(messages_of("registry", log.hash_at(599), log.events[599:]))
            await subscription.deliver(headers_of(late[0]), late[1])
            assert subscription.state is old
            log.on_read = lambda: None
            log.answering.set()
            await until(lambda: subscription.generation == 1)
            assert subscription.state.dump() == fold(log)

    async def test_a_message_that_contradicts_makes_the_owner_decide(self) -> None:
        log, other = log_of(3), MemoryLog()
        other.append("oauth_app-app_9", CREATED, CREATED, CREATED, CREATED)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 3)
            for message, body in messages(other, iter([1, 2, 1])):
                await subscription.deliver(headers_of(message), body)
            assert subscription.state.dump() == fold(log)
            assert subscription.generation == 0
            assert reader.count("tollgate_log_messages_total", outcome="refused") == 3

    async def test_a_message_that_starts_from_another_hash_is_not_believed(
        self,
    ) -> None:
        log = log_of(3)
        reader = Reader(log)
        ((message, body),) = messages(log, iter([3]))
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 3)
            headers = {**headers_of(message), "hash_before": "00" * 32}
            await subscription.deliver(headers, body)
            assert reader.count("tollgate_log_messages_total", outcome="refused") == 1
            assert subscription.generation == 0

    async def test_histories_that_keep_changing_are_not_chased(self) -> None:
        log = log_of(3)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 3)

            def change() -> None:
                log.put_back(2)
                number = len(log.events) + log.reads
                log.append("oauth_app-app_0", OAuthAppRenamed(name=f"{number}"))

            log.on_read = change
            await until(lambda: "too often" in str(subscription.status().trouble or ""))
            assert reader.count("tollgate_log_rebuilds_total") <= 3


class TestUnreadable:
    async def test_an_unknown_event_that_must_be_understood_stops_it(self) -> None:
        log = log_of(2)
        reader = Reader(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.ready)
            log.append_raw("oauth_app-app_0", "oauth_app.from_the_future", b"{}")
            extend(log, 1)
            await until(lambda: subscription.status().stopped is not None)
            assert subscription.position == 2
            assert not subscription.ready
            assert reader.count("tollgate_log_stopped") == 1
            reader.clock.pass_by(301)
            assert subscription.age() > subscription.max_age
            with pytest.raises(NotLevel):
                await subscription.refresh(SOON)

    async def test_one_that_need_not_be_understood_is_passed(self) -> None:
        log = log_of(2)
        log.append_raw(
            "oauth_app-app_0", "oauth_app.hint", b'{"must_understand":false}'
        )
        extend(log, 1)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.position == 4)
            assert subscription.ready

    async def test_a_damaged_event_stops_it_until_it_is_mended(self) -> None:
        log = log_of(5)
        sound = log.events[3]
        log.damage(4)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.status().stopped is not None)
            assert subscription.position == 3
            assert subscription.polled_at is None
            log.events[3] = sound
            await until(lambda: subscription.ready)
            assert subscription.state.dump() == fold(log)

    async def test_a_reader_of_whole_rows_takes_no_withheld_one(self) -> None:
        log = log_of(1)
        member = MemberAdded(workspace_id="ws_1", name="Ann", email="a@b", grants=())
        log.append("member-mem_1", member)
        reader = Reader(log)
        (message, body), *_ = messages(log, iter([9]))
        async with reading(reader) as subscription:
            await subscription.deliver(headers_of(message), body)
            await until(lambda: subscription.position == 2)
            assert subscription.state.members["mem_1"].name == "Ann"
        # The same from the feed: a credential of the wrong kind.
        log.whole = False
        reader = Reader(log)
        reader.subscription._source = _Claims(log)
        async with reading(reader) as subscription:
            await until(lambda: subscription.status().stopped is not None)
            assert subscription.position == 1

    async def test_others_take_withheld_members_for_what_they_are(self) -> None:
        log = log_of(1, whole=False)
        member = MemberAdded(workspace_id="ws_1", name="Ann", email="a@b", grants=())
        log.append("member-mem_1", member)
        log.append("access_token-1", AccessTokenUsed(day=_DAY))
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.position == 3)
            assert subscription.state.members == {}
            assert subscription.hash == log.head.hash


class TestMessages:
    async def test_a_hole_is_filled_from_the_feed(self) -> None:
        log = log_of(10)
        reader = Reader(log, poll_interval=timedelta(seconds=60))
        async with reading(reader) as subscription:
            await until(lambda: subscription.position == 10)
            extend(log, 10)
            *_, (message, body) = messages(log, iter([10, 5, 5]))
            assert message.first == 16
            await subscription.deliver(headers_of(message), body)
            assert subscription.position == 20
            assert reader.count("tollgate_log_messages_total", outcome="hole") >= 0
            assert subscription.state.dump() == fold(log)

    async def test_the_same_message_a_thousand_times_changes_nothing(self) -> None:
        log = log_of(5)
        ((message, body),) = messages(log, iter([5]))
        async with reading(Reader(log)) as subscription:
            for _ in range(1000):
                await subscription.deliver(headers_of(message), body)
            assert subscription.state.dump() == fold(log)

    async def test_poison_costs_its_neighbours_nothing(self) -> None:
        log = log_of(6)
        reader = Reader(log)
        async with reading(reader) as subscription:
            for message, body in messages(log, iter([2, 2, 2])):
                await subscription.deliver({"log": "registry"}, b"\xff" * 100)
                await subscription.deliver(headers_of(message), body)
            assert subscription.position == 6
            assert (
                reader.count("tollgate_log_messages_total", outcome="unreadable") == 3
            )

    async def test_a_flood_of_poison_is_no_flood_of_reads(self) -> None:
        log = log_of(1)
        async with reading(Reader(log)) as subscription:
            await until(lambda: subscription.ready)
            subscription.push_started()
            log.down = True
            await until(lambda: subscription.status().trouble is not None)
            before = log.reads
            for _ in range(500):
                await subscription.deliver({}, b"poison")
            assert log.reads - before < 50

    @settings(max_examples=60, deadline=None)
    @given(
        count=st.integers(1, 25),
        seed=st.integers(0, 2**32),
        lost=st.floats(0, 0.7),
        feed_is_down=st.booleans(),
    )
    def test_any_delivery_gives_the_state_of_the_log(
        self, count: int, seed: int, lost: float, feed_is_down: bool
    ) -> None:
        async def deliver_any_how() -> None:
            chance = random.Random(seed)  # noqa: S311 - hypothesis chose the seed
            log = log_of(count)
            sizes = iter(lambda: chance.randint(1, 4), None)
            sent = [each for each in messages(log, sizes) if chance.random() >= lost]
            sent += chance.choices(sent, k=len(sent)) if sent else []
            chance.shuffle(sent)
            log.down = feed_is_down
            reader = Reader(log, poll_interval=timedelta(milliseconds=1))
            async with reading(reader) as subscription:
                for message, body in sent:
                    await subscription.deliver(headers_of(message), body)
                    position = subscription.position
                    assert subscription.state.dump() == fold(log, position)
                log.down = False
                await until(lambda: subscription.position == count)
                assert subscription.state.dump() == fold(log)
                assert subscription.hash == log.head.hash

        asyncio.run(deliver_any_how())


class TestRestore:
    async def test_it_goes_on_from_a_snapshot_and_is_as_old_as_that(self) -> None:
        log = log_of(7)
        reader = Reader(log)
        replica = Replica("registry", RegistryState())
        for recorded in log.events[:5]:
            replica.take(recorded)
        polled_at = reader.clock()
        reader.clock.pass_by(100)
        reader.subscription.restore(replica, polled_at=polled_at, max_age=120)
        log.down = True
        async with reading(reader) as subscription:
            await until(lambda: subscription.status().trouble is not None)
            assert subscription.position == 5
            assert subscription.age() == 100
            assert subscription.max_age == 120
            log.down = False
            await until(lambda: subscription.max_age == 300)
            assert subscription.state.dump() == fold(log)


class _Claims:
    """A source that says it gives whole rows."""

    whole = True
    log = "registry"

    def __init__(self, log: MemoryLog) -> None:
        self.read_after = log.read_after


_DAY = log_of(1).events[0].recorded_at.date()
