"""A view is as old as its oldest log, and as ready as its least ready one."""

import math
from datetime import timedelta

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from tollgate.background import running
from tollgate.events.tokens import AllTokensRevoked
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.projections.moments import Moment
from tollgate.projections.replica import Replica
from tollgate.projections.view import View
from tollgate.registry.state import RegistryState
from tollgate.testing.memory_log import MemoryLog
from tollgate.testing.waiting import until
from tollgate.tokens.state import TokensState

NOW = Moment(1_000.0, 1_800_000_000.0)
RARELY = timedelta(seconds=60)


def ago(seconds: float) -> Moment:
    return Moment(NOW.boottime - seconds, NOW.wall - seconds)


class Two:
    """The two logs of a gateway and the view of them."""

    def __init__(self) -> None:
        self.registry, self.tokens = MemoryLog(), MemoryLog("tokens")
        metrics = SubscriptionMetrics(CollectorRegistry())

        def subscribe(log: MemoryLog, state: type) -> Subscription[RegistryState]:
            return Subscription(
                log, state, metrics=metrics, poll_interval=RARELY, clock=lambda: NOW
            )

        self.subscriptions = (
            subscribe(self.registry, RegistryState),
            subscribe(self.tokens, TokensState),
        )
        self.view = View(*self.subscriptions)

    def polled(self, registry: float, tokens: float, *, max_age: float = 300) -> None:
        """Let the logs have been polled so many seconds ago."""
        for subscription, seconds in zip(
            self.subscriptions, (registry, tokens), strict=True
        ):
            state = subscription.state
            replica = Replica(subscription.log, state)
            subscription.restore(replica, polled_at=ago(seconds), max_age=max_age)


def test_it_is_as_old_as_its_oldest_log() -> None:
    two = Two()
    two.polled(10, 200)
    assert two.view.age(NOW) == 200
    two.polled(250, 2)
    assert two.view.age(NOW) == 250


def test_without_a_poll_of_every_log_it_is_infinitely_old() -> None:
    two = Two()
    assert two.view.age(NOW) == math.inf
    assert not two.view.fresh(NOW)
    assert not two.view.ready


@pytest.mark.parametrize(
    ("tokens", "fresh", "ready"),
    [(0, True, True), (270, True, True), (271, True, False), (301, False, False)],
)
def test_it_is_not_ready_before_it_is_too_old(
    tokens: float, fresh: bool, ready: bool
) -> None:
    two = Two()
    two.polled(0, tokens)
    assert two.view.fresh(NOW) is fresh
    assert two.view.ready is ready


def test_its_status_can_be_told_before_any_poll_and_after() -> None:
    two = Two()
    before = msgspec.json.decode(msgspec.json.encode(two.view.status()))
    assert before["age"] is None
    assert [log["age"] for log in before["logs"]] == [None, None]
    two.polled(10, 20)
    after = two.view.status()
    assert [log.log for log in after.logs] == ["registry", "tokens"]
    assert [log.age for log in after.logs] == [10, 20]


async def test_a_refresh_reads_every_log() -> None:
    two = Two()
    async with running(two.view.run()):
        await until(lambda: two.view.ready)
        for each in two.subscriptions:
            each.push_started()
        two.tokens.append("oauth_app-app_1", AllTokensRevoked())
        await two.view.refresh(timedelta(seconds=5))
        assert [each.position for each in two.subscriptions] == [0, 1]


async def test_a_refresh_fails_if_one_log_cannot_be_read() -> None:
    two = Two()
    async with running(two.view.run()):
        await until(lambda: two.view.ready)
        two.tokens.down = True
        with pytest.raises(NotLevel, match="down"):
            await two.view.refresh(timedelta(seconds=5))


async def test_a_rebuild_of_any_log_changes_its_generation() -> None:
    two = Two()
    two.tokens.append("oauth_app-app_1", AllTokensRevoked(), AllTokensRevoked())
    async with running(two.view.run()):
        await until(lambda: two.view.ready)
        before = two.view.generation
        two.tokens.put_back(1)
        with pytest.raises(NotLevel):
            await two.view.refresh(timedelta(seconds=5))
        await two.view.refresh(timedelta(seconds=5))
        assert two.view.generation != before
