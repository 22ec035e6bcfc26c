"""Deliveries change a subscription as if each had been awaited before the next."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tollgate.events.registry import OAuthAppCreated, OAuthAppRenamed
from tollgate.messaging.messages import headers_of, messages_of
from tollgate.messaging.metrics import SubscriptionMetrics
from tollgate.messaging.push import MAX_UNACKNOWLEDGED, PREFETCH, Inbox
from tollgate.messaging.subscription import Subscription
from tollgate.registry.state import RegistryState
from tollgate.testing.memory_log import MemoryLog
from tollgate.testing.waiting import until

CREATED = OAuthAppCreated(
    workspace_id="ws_1", name="web", token_lifetime=86_400, scopes=()
)
EVENTS = 12


class Channel:
    """Notes what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    async def basic_ack(self, tag: int, *, wait: bool) -> None:
        assert not wait
        await asyncio.sleep(0)
        self.acknowledged.append(tag)


def delivery(channel: Channel, tag: int, message: Any, body: bytes) -> Any:
    return SimpleNamespace(
        channel=channel,
        delivery_tag=tag,
        body=body,
        header=SimpleNamespace(
            properties=SimpleNamespace(headers=dict(headers_of(message)))
        ),
    )


def filled_log() -> MemoryLog:
    log = MemoryLog()
    log.append("oauth_app-app_1", CREATED)
    for number in range(EVENTS - 1):
        log.append("oauth_app-app_1", OAuthAppRenamed(name=f"name {number}"))
    return log


def deliveries(log: MemoryLog, order: list[tuple[int, int]]) -> list[tuple[Any, bytes]]:
    """Messages of the events from `first` on, `length` of them."""
    found = []
    for first, length in order:
        events = log.events[first : first + length]
        found += messages_of("registry", log.hash_at(first), events)
    return found


orders = st.lists(st.tuples(st.integers(0, EVENTS - 1), st.integers(1, 4)), max_size=12)


@given(orders, st.lists(st.booleans(), min_size=12, max_size=12))
def test_any_order_is_applied_as_one_after_another(
    order: list[tuple[int, int]], breathes: list[bool]
) -> None:
    with patch("tollgate.messaging.subscription.FILL_PAUSE", 0.0):
        asyncio.run(deliver_both_ways(order, breathes))


async def deliver_both_ways(order: list[tuple[int, int]], breathes: list[bool]) -> None:
    log = filled_log()
    plain, ours = (
        Subscription(
            log,
            RegistryState,
            metrics=SubscriptionMetrics(CollectorRegistry()),
            poll_interval=timedelta(milliseconds=1),
        )
        for _ in range(2)
    )
    inbox, channel = Inbox(ours), Channel()
    log.down = True  # what does not fit stays open, and changes nothing
    settling = asyncio.ensure_future(inbox.settle_all())
    tasks = []
    for tag, (message, body) in enumerate(deliveries(log, order)):
        await plain.deliver(headers_of(message), body)
        received = inbox.receive(delivery(channel, tag, message, body))
        tasks.append(asyncio.ensure_future(received))
        if breathes[tag]:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    inbox.end("the end")
    assert await settling == "the end"
    assert sorted(channel.acknowledged) == list(range(len(tasks)))
    assert ours.position == plain.position
    assert ours.state.dump() == plain.state.dump()


async def test_what_comes_behind_a_hole_waits_with_it() -> None:
    log = filled_log()
    metrics = SubscriptionMetrics(CollectorRegistry())
    subscription = Subscription(log, RegistryState, metrics=metrics)
    inbox, channel = Inbox(subscription), Channel()
    early, next_one = deliveries(log, [(3, 1), (4, 1)])
    await inbox.receive(delivery(channel, 1, *early))
    await inbox.receive(delivery(channel, 2, *next_one))
    assert subscription.position == 0
    assert channel.acknowledged == []


async def test_what_was_settled_is_acknowledged_when_others_had_their_turn() -> None:
    log = filled_log()
    metrics = SubscriptionMetrics(CollectorRegistry())
    inbox, channel = Inbox(Subscription(log, RegistryState, metrics=metrics)), Channel()
    settling = asyncio.ensure_future(inbox.settle_all())
    for tag, each in enumerate(deliveries(log, [(0, 1), (1, 1)])):
        await inbox.receive(delivery(channel, tag, *each))
    assert channel.acknowledged == []
    await until(lambda: channel.acknowledged == [0, 1])
    await inbox.receive(delivery(channel, 2, *deliveries(log, [(2, 1)])[0]))
    await until(lambda: channel.acknowledged == [0, 1, 2])
    inbox.end("the end")
    assert await settling == "the end"
    assert channel.acknowledged == [0, 1, 2]


async def test_many_are_acknowledged_before_the_broker_has_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tollgate.messaging.push.ACKNOWLEDGE_AFTER", 3600.0)
    log = filled_log()
    metrics = SubscriptionMetrics(CollectorRegistry())
    inbox, channel = Inbox(Subscription(log, RegistryState, metrics=metrics)), Channel()
    (first,) = deliveries(log, [(0, 1)])
    for tag in range(PREFETCH - 1):
        await inbox.receive(delivery(channel, tag, *first))
    assert channel.acknowledged == list(range(MAX_UNACKNOWLEDGED))


async def test_a_fault_of_ours_ends_the_settling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = filled_log()
    metrics = SubscriptionMetrics(CollectorRegistry())
    subscription = Subscription(log, RegistryState, metrics=metrics)

    def fail(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(subscription, "offer", fail)
    inbox = Inbox(subscription)
    ((message, body),) = deliveries(log, [(0, 1)])
    await inbox.receive(delivery(Channel(), 1, message, body))
    with pytest.raises(RuntimeError, match="ours"):
        await inbox.settle_all()
