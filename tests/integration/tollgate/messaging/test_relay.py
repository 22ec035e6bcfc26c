"""The relay and the followers it serves, with real accounts on a real broker."""

import asyncio
from collections.abc import Container
from datetime import timedelta
from typing import Any

import aio_pika
import aiormq.channel
import asyncpg
import pytest
from aio_pika.exceptions import AMQPError
from pamqp import commands

from local_stack.testing import VirtualHost
from tollgate.eventlog import AppendGroup
from tollgate.events import EventMetadata
from tollgate.events.registry import MemberAdded
from tollgate.messaging import relay as relay_module
from tollgate.messaging.messages import headers_of, messages_of
from tollgate.messaging.subscription import Offer
from tollgate.testing.waiting import until

from .conftest import READER, Counted, Follower, World

SOON = timedelta(seconds=20)
RARELY = timedelta(seconds=30)
HOUR = 3600.0


async def test_events_are_pushed_in_order(world: World) -> None:
    async with world.relay() as relay, world.follower(poll_interval=RARELY) as reader:
        await until(lambda: reader.pushed)
        head = await world.append_until_pushed(reader)
        await world.append(50)
        await until(lambda: reader.subscription.position == head + 50, within=10)
        assert reader.subscription.state.dump() == await world.fold()
        await until(lambda: relay.value("tollgate_relay_position") == head + 50)
        assert await world.checkpoint() == head + 50


async def test_a_backlog_flows_fast_and_in_order(world: World) -> None:
    await world.append_at_once(20_000)
    async with world.follower(poll_interval=RARELY) as reader:
        await reader.subscription.wait_for(20_000, SOON)
        await until(lambda: reader.pushed)
        async with world.relay() as relay:
            await until(
                lambda: relay.value("tollgate_relay_events_published_total") == 20_000
            )
            assert await world.checkpoint() == 20_000
        seen = reader.value("tollgate_log_messages_total", outcome="seen")
        assert seen >= 20_000 / relay_module.MAX_EVENTS


async def test_without_a_subscriber_nothing_is_marked_and_nothing_spins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "LONGEST_PAUSE", 1.0)
    await world.append(500)
    async with world.relay() as relay:
        await until(lambda: unroutable(relay) >= 3)
        started, before = asyncio.get_running_loop().time(), unroutable(relay)
        await until(lambda: unroutable(relay) >= before + 2)
        assert asyncio.get_running_loop().time() - started > 1
        assert await world.checkpoint() == 0
        async with world.follower():
            await until(lambda: relay.value("tollgate_relay_position") == 500)


async def test_a_queue_that_is_bound_during_a_pause_gets_what_comes_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the ring of the append can end the pause in time."""
    monkeypatch.setattr(relay_module, "FIRST_PAUSE", HOUR)
    monkeypatch.setattr(relay_module, "LONGEST_PAUSE", HOUR)
    await world.append(1)
    async with world.relay() as relay:
        await until(lambda: unroutable(relay) >= 1)
        async with world.follower(poll_interval=RARELY) as reader:
            await until(lambda: reader.pushed)
            await world.append(1)
            await until(lambda: relay.value("tollgate_relay_position") == 2)
            await until(lambda: reader.subscription.position == 2)


async def test_news_that_nobody_is_there_for_are_offered_with_rests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "REST", HOUR)
    await world.append(1)
    async with world.relay() as relay:
        await until(lambda: unroutable(relay) == 1)
        await world.append(20)
        await until(lambda: relay.value("tollgate_relay_head") == 21)
        assert unroutable(relay) == 1


async def test_one_relay_is_active_and_another_takes_over(world: World) -> None:
    async with (
        world.relay() as first,
        world.relay() as second,
        world.follower(poll_interval=RARELY) as reader,
    ):
        holders = {await lock_holder(world)}
        await until(lambda: reader.pushed)
        for round_ in range(1, 4):
            await world.append(20)
            await until(lambda: reader.subscription.position >= 20 * round_)  # noqa: B023
            await terminate_lock_sessions(world)
            holders.add(await lock_holder(world, other_than=holders))
        assert len(holders) == 4
        await world.append(20)
        await until(lambda: reader.subscription.position == 80)
        await until(
            lambda: (
                sum(relay.value("tollgate_relay_active") for relay in (first, second))
                == 1
            )
        )
        assert reader.subscription.state.dump() == await world.fold()


async def test_two_relays_at_once_duplicate_and_reorder_nothing_in_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(_: object) -> bool:
        return True

    monkeypatch.setattr(relay_module._Session, "take_lock", taken)
    async with (
        world.follower(poll_interval=RARELY) as reader,
        world.relay() as first,
        world.relay() as second,
    ):
        await until(lambda: reader.pushed)
        await world.append(300)
        for relay in (first, second):
            await until(lambda: relay.value("tollgate_relay_position") == 300)  # noqa: B023
        await until(lambda: reader.subscription.position == 300)
        assert reader.value("tollgate_log_messages_total", outcome="seen") > 0
        assert reader.value("tollgate_log_messages_total", outcome="refused") == 0
        assert reader.subscription.state.dump() == await world.fold()


async def test_sessions_cut_every_moment_lose_nothing(world: World) -> None:
    async with world.relay() as relay, world.follower() as reader:
        await until(lambda: reader.pushed)
        for _ in range(8):
            await world.append(25)
            await terminate_lock_sessions(world)
        await until(lambda: relay.value("tollgate_relay_position") == 200)
        await until(lambda: reader.subscription.position == 200)
        assert reader.subscription.state.dump() == await world.fold()


async def test_members_and_metadata_are_not_on_the_broker(
    world: World, virtual_host: VirtualHost
) -> None:
    async with await aio_pika.connect(virtual_host.url_of(READER)) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            f"tollgate.{READER}.eavesdropper", exclusive=True, auto_delete=True
        )
        await queue.bind("tollgate.registry", "#")
        async with world.relay() as relay:
            member = MemberAdded(
                workspace_id="ws_1", name="Ann", email="a@b", grants=()
            )
            await world.log.append(
                AppendGroup(
                    events=[("member-mem_1", member)],
                    metadata=EventMetadata(client_address="192.0.2.7"),
                )
            )
            await until(lambda: relay.value("tollgate_relay_position") == 1)
            message = await queue.get(timeout=10)
            assert message is not None
            assert b"member.added" in message.body
            assert b"Ann" not in message.body
            assert b"192.0.2.7" not in message.body
            assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
            assert message.headers["first"] == message.headers["last"] == 1


async def test_a_reader_of_whole_rows_fetches_members_from_the_feed(
    world: World,
) -> None:
    async with world.relay(), world.follower(poll_interval=RARELY) as reader:
        await until(lambda: reader.pushed)
        member = MemberAdded(workspace_id="ws_1", name="Ann", email="a@b", grants=())
        await world.log.append(AppendGroup(events=[("member-mem_1", member)]))
        await until(lambda: reader.subscription.position == 1, within=10)
        assert reader.subscription.state.members["mem_1"].name == "Ann"


async def test_the_gateways_account_cannot_forge_an_event(
    world: World, virtual_host: VirtualHost
) -> None:
    if not virtual_host.has_service_users:
        pytest.skip("the given broker has one user")
    async with world.relay(), world.follower() as reader:
        await until(lambda: reader.pushed)
        await world.append(3)
        await until(lambda: reader.subscription.position == 3)
        before = await world.log.hash_at(0)
        assert before is not None
        events = await world.log.read_after(0, limit=1)
        ((message, body),) = messages_of("registry", before, events)
        forged = aio_pika.Message(body, headers=dict(headers_of(message)))
        async with await aio_pika.connect(virtual_host.url_of(READER)) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("tollgate.registry", ensure=False)
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await exchange.publish(forged, "oauth_app.created")
        async with await aio_pika.connect(virtual_host.url_of(READER)) as connection:
            channel = await connection.channel()
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await channel.declare_exchange("tollgate.registry.other", "topic")
        seen = reader.value("tollgate_log_messages_total", outcome="seen")
        await world.append(1)
        await until(lambda: reader.subscription.position == 4)
        assert reader.value("tollgate_log_messages_total", outcome="seen") == seen


async def test_what_a_relay_might_be_made_to_send_changes_nothing(
    world: World, virtual_host: VirtualHost
) -> None:
    """Poison, duplicates and disorder, published as the owner of the log."""
    async with world.follower(poll_interval=RARELY) as reader:
        await until(lambda: reader.pushed)
        await world.append(30)
        events = await world.log.read_after(0, limit=30)
        first = await world.log.hash_at(0)
        assert first is not None
        messages = []
        for start in (0, 7, 20, 3, 12, 28):
            before = await world.log.hash_at(start)
            assert before is not None
            messages += messages_of("registry", before, events[start : start + 5])
        async with await aio_pika.connect(virtual_host.url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("tollgate.registry")
            for poison in (b"", b"\xff", b"x" * 10_000_000, b"[" * 50_000, b"null"):
                await exchange.publish(aio_pika.Message(poison), "poison")
            for message, body in [*messages, *messages]:
                headers: dict[str, Any] = dict(headers_of(message))
                await exchange.publish(
                    aio_pika.Message(body, headers=headers), message.routing_key
                )
        await until(lambda: reader.subscription.position == 30)
        await until(
            lambda: reader.value("tollgate_log_messages_total", outcome="seen") >= 6
        )
        assert reader.value("tollgate_log_messages_total", outcome="unreadable") == 5
        assert reader.subscription.state.dump() == await world.fold()


async def test_a_slow_subscriber_slows_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = asyncio.Event()
    async with (
        world.relay() as relay,
        world.follower(poll_interval=RARELY) as slow,
        world.follower(poll_interval=RARELY) as quick,
    ):
        await until(lambda: slow.pushed and quick.pushed)
        block(slow, going_on, monkeypatch)
        for _ in range(30):
            await world.append_at_once(1000)
        await until(lambda: relay.value("tollgate_relay_position") == 30_000)
        await until(lambda: quick.subscription.position == 30_000)
        assert slow.subscription.position < 30_000
        going_on.set()
        await until(lambda: slow.subscription.position == 30_000)
        assert slow.subscription.state.dump() == await world.fold()


async def test_an_exchange_that_was_deleted_is_declared_and_bound_again(
    world: World, virtual_host: VirtualHost
) -> None:
    async with (
        world.relay() as relay,
        world.follower(poll_interval=timedelta(seconds=0.2)) as reader,
    ):
        await until(lambda: reader.pushed)
        async with await aio_pika.connect(virtual_host.url) as connection:
            channel = await connection.channel()
            await channel.exchange_delete("tollgate.registry")
        # The queue stands without a binding; what the polls bring gives that away.
        head = await world.append_until_pushed(reader)
        await until(lambda: relay.value("tollgate_relay_position") >= head)
        assert relay.value("tollgate_relay_failures_total", reason="disconnected") >= 1


async def test_only_exclusive_queues_and_durable_exchanges_are_declared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ 4.3 refuses what 3.10 accepts: transient shared queues, global QoS."""
    sent: list[Any] = []
    original = aiormq.channel.Channel.rpc

    async def record(self: Any, frame: Any, *args: Any, **options: Any) -> Any:
        sent.append(frame)
        return await original(self, frame, *args, **options)

    monkeypatch.setattr(aiormq.channel.Channel, "rpc", record)
    async with world.relay(), world.follower(poll_interval=RARELY) as reader:
        await until(lambda: reader.pushed)
        await world.append_until_pushed(reader)
    queues = [each for each in sent if isinstance(each, commands.Queue.Declare)]
    exchanges = [each for each in sent if isinstance(each, commands.Exchange.Declare)]
    limits = [each for each in sent if isinstance(each, commands.Basic.Qos)]
    assert queues
    assert exchanges
    assert limits
    for queue in queues:
        assert queue.exclusive
        assert queue.auto_delete
        assert not queue.durable
        assert queue.queue.startswith(f"tollgate.{READER}.")
        assert queue.arguments["x-queue-type"] == "classic"
        assert queue.arguments["x-overflow"] == "drop-head"
        assert queue.arguments["x-max-length"] > 0
    for exchange in exchanges:
        assert exchange.passive or (
            exchange.durable and exchange.exchange_type == "topic"
        )
        assert not exchange.auto_delete
    assert not any(limit.global_ for limit in limits)


def unroutable(relay: Counted) -> float:
    """How often the relay offered a message that no queue was there for."""
    return relay.value("tollgate_relay_failures_total", reason="unroutable")


LOCK_HOLDERS = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = $1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def pids_of_holders(connection: asyncpg.Connection) -> list[int]:
    rows = await connection.fetch(LOCK_HOLDERS, relay_module.LOCK_CLASS)
    return [row["pid"] for row in rows]


async def terminate_lock_sessions(world: World) -> None:
    connection = await asyncpg.connect(world.database_url)
    try:
        for pid in await pids_of_holders(connection):
            await connection.execute("SELECT pg_terminate_backend($1)", pid)
    finally:
        await connection.close()


async def lock_holder(world: World, *, other_than: Container[int] = ()) -> int:
    """The one session that holds the lock, once a new one does."""
    connection = await asyncpg.connect(world.database_url)
    try:

        async def holder() -> int | None:
            pids = await pids_of_holders(connection)
            assert len(pids) <= 1
            return next((pid for pid in pids if pid not in other_than), None)

        return await until(holder)
    finally:
        await connection.close()


def block(
    follower: Follower, until: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make the follower stand still at its next message."""
    subscription = follower.subscription
    deliver = subscription.deliver

    async def wait_and_deliver(_: Offer, *message: Any) -> None:
        await until.wait()
        with monkeypatch.context() as patch:
            patch.setattr(subscription, "offer", offer)
            patch.setattr(subscription, "settle", settle)
            await deliver(*message)

    offer, settle = subscription.offer, subscription.settle
    monkeypatch.setattr(subscription, "offer", lambda *_: Offer.DOUBTED)
    monkeypatch.setattr(subscription, "settle", wait_and_deliver)
