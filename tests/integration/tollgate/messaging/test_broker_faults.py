"""The broker killed, hung, full and gone; the database killed and put back."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from local_stack.postgres import Postgres
from local_stack.rabbitmq import RabbitMQ
from local_stack.testing import VirtualHost
from tollgate.database import connect
from tollgate.eventlog import AppendOutcomeUnknown, LogUnavailable
from tollgate.messaging import relay as relay_module
from tollgate.messaging.subscription import NotLevel
from tollgate.migrations import event_log_migrations, migrate
from tollgate.testing.waiting import until

from .conftest import World, open_world

PACE = 0.004
"""Seconds between appends: a load that leaves the servers some CPU to start again."""


class Load:
    """Appends all the time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._going = True
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._going:
            with suppress(LogUnavailable, AppendOutcomeUnknown):
                await self._world.append(1)
            await asyncio.sleep(PACE)

    async def stop(self) -> int:
        """The head of the log when all is appended."""
        self._going = False
        await self._task
        return (await self._world.log.head()).position


async def test_a_broker_killed_under_load_loses_nothing_and_needs_no_hand(
    breakable: World, private_rabbitmq: RabbitMQ
) -> None:
    world = breakable
    async with world.relay() as relay, world.follower() as reader:
        await until(lambda: reader.pushed)
        load = Load(world)
        for _ in range(2):
            confirmed = relay.value("tollgate_relay_position")
            await until(
                lambda: relay.value("tollgate_relay_position") > confirmed + 100  # noqa: B023
            )
            await asyncio.to_thread(private_rabbitmq.kill9)
            await until(lambda: not reader.pushed)
            seen = reader.subscription.position
            await until(lambda: reader.subscription.position > seen + 100)  # noqa: B023
            await asyncio.to_thread(private_rabbitmq.start)
            before = reader.from_broker
            await until(lambda: reader.from_broker > before + 100)  # noqa: B023
        head = await load.stop()
        await until(lambda: reader.subscription.position == head)
        await until(lambda: relay.value("tollgate_relay_position") == head)
        assert await world.checkpoint() == head
        assert reader.value("tollgate_log_rebuilds_total") == 0
        assert reader.value("tollgate_log_messages_total", outcome="refused") == 0
        assert reader.subscription.state.dump() == await world.fold()


async def test_with_the_broker_gone_for_good_everything_converges_by_polling(
    breakable: World, private_rabbitmq: RabbitMQ
) -> None:
    world = breakable
    async with world.relay() as relay, world.follower() as early:
        await until(lambda: early.pushed)
        await world.append(10)
        await until(lambda: relay.value("tollgate_relay_position") == 10)
        await asyncio.to_thread(private_rabbitmq.kill9)
        async with world.follower() as late:
            await world.append(40)
            for reader in (early, late):
                await until(lambda: reader.subscription.position == 50)  # noqa: B023
                await until(lambda: reader.subscription.ready)  # noqa: B023
                assert reader.subscription.state.dump() == await world.fold()
            # By long polls: an event is there long before the next poll is due.
            started = asyncio.get_running_loop().time()
            for count in range(51, 61):
                await world.append(1)
                await until(lambda: late.subscription.position == count)  # noqa: B023
            assert asyncio.get_running_loop().time() - started < 5
        assert await world.checkpoint() <= 50


async def test_a_broker_that_hangs_stops_neither_readers_nor_appends(
    breakable: World,
    private_rabbitmq: RabbitMQ,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "CONFIRM_TIMEOUT", 1.0)
    world = breakable
    async with world.relay() as relay, world.follower() as reader:
        await until(lambda: reader.pushed)
        await asyncio.to_thread(private_rabbitmq.pause)
        await world.append(30)
        await until(lambda: reader.subscription.position == 30)
        await until(lambda: failures(relay.value) > 0)
        assert await world.checkpoint() < 30
        await asyncio.to_thread(private_rabbitmq.resume)
        await until(lambda: relay.value("tollgate_relay_position") == 30)
        await world.append_until_pushed(reader)


async def test_a_full_broker_blocks_publishing_and_nothing_else(
    breakable: World,
    private_rabbitmq: RabbitMQ,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "CONFIRM_TIMEOUT", 1.0)
    world = breakable
    ctl = private_rabbitmq.ctl
    async with world.relay() as relay, world.follower() as reader:
        await until(lambda: reader.pushed)
        await world.append(5)
        await until(lambda: relay.value("tollgate_relay_position") == 5)
        await asyncio.to_thread(ctl, "set_vm_memory_high_watermark", "0")
        try:
            await world.append(2000)
            await until(lambda: reader.subscription.position == 2005)
            await until(lambda: failures(relay.value) > 1)
            assert relay.value("tollgate_relay_position") < 2005
        finally:
            await asyncio.to_thread(
                ctl, "set_vm_memory_high_watermark", "absolute", "1GB"
            )
        await until(lambda: relay.value("tollgate_relay_position") == 2005)


async def test_a_queue_that_was_deleted_is_replaced(
    breakable: World, private_rabbitmq: RabbitMQ
) -> None:
    world = breakable

    async def queues() -> list[str]:
        names = await asyncio.to_thread(
            private_rabbitmq.ctl, "-q", "list_queues", "name", "--no-table-headers"
        )
        return names.split()

    async with world.relay(), world.follower() as reader:
        await until(lambda: reader.pushed)
        (deleted,) = await queues()
        await asyncio.to_thread(private_rabbitmq.ctl, "delete_queue", deleted)

        async def is_replaced() -> bool:
            found = await queues()
            return bool(found) and deleted not in found

        await until(is_replaced)
        await until(lambda: reader.pushed)
        await world.append_until_pushed(reader)


async def test_a_database_killed_under_load_stops_nothing_for_good(
    private_postgres: Postgres, virtual_host: VirtualHost
) -> None:
    await migrated(private_postgres.url)
    async with (
        open_world(private_postgres.url, virtual_host.url_of) as world,
        world.relay() as relay,
        world.follower() as reader,
    ):
        await until(lambda: reader.pushed)
        load = Load(world)
        for _ in range(2):
            position = reader.subscription.position
            await until(lambda: reader.subscription.position > position + 100)  # noqa: B023
            await asyncio.to_thread(private_postgres.kill9)
            await until(lambda: reader.subscription.status().trouble is not None)
            await asyncio.to_thread(private_postgres.start)
        position = reader.subscription.position
        await until(lambda: reader.subscription.position > position + 100)
        head = await load.stop()
        await until(lambda: relay.value("tollgate_relay_position") == head)
        await until(lambda: reader.subscription.position == head)
        assert reader.value("tollgate_log_rebuilds_total") == 0
        assert reader.subscription.state.dump() == await world.fold()


async def test_a_standby_makes_nobody_believe_to_be_level(
    private_postgres: Postgres, virtual_host: VirtualHost
) -> None:
    """It answers, but with the past; once promoted it is the log."""
    await migrated(private_postgres.url)
    async with (
        open_world(private_postgres.url, virtual_host.url_of) as world,
        world.follower(poll_interval=timedelta(seconds=0.1), broker=False) as reader,
    ):
        await world.append(20)
        await until(lambda: reader.subscription.position == 20)
        await asyncio.to_thread(private_postgres.stop)
        (private_postgres.directory / "data" / "standby.signal").touch()
        await asyncio.to_thread(private_postgres.start)
        await until(
            lambda: "standby" in str(reader.subscription.status().trouble or "")
        )
        last_poll = reader.subscription.polled_at
        with pytest.raises(NotLevel, match="standby"):
            await reader.subscription.refresh(timedelta(seconds=5))
        assert reader.subscription.polled_at == last_poll
        assert (await world.log.verify()).position == 20
        connection = await connect(private_postgres.url, application_name="test")
        await connection.execute("SELECT pg_promote()")
        await connection.close()
        await until(lambda: reader.subscription.status().trouble is None)
        await world.append(5)
        await until(lambda: reader.subscription.position == 25)
        assert reader.subscription.state.dump() == await world.fold()


async def test_a_database_put_back_makes_every_follower_rebuild(world: World) -> None:
    async with (
        world.relay(),
        world.follower() as pushed,
        world.follower(broker=False, poll_interval=timedelta(seconds=0.2)) as polling,
    ):
        await until(lambda: pushed.pushed)
        await world.append(60)
        for reader in (pushed, polling):
            await until(lambda: reader.subscription.position == 60)  # noqa: B023
        await put_back(world, 45)
        await world.append(30)
        for reader in (pushed, polling):
            await until(lambda: reader.subscription.generation == 1)  # noqa: B023
            await until(lambda: reader.subscription.position == 75)  # noqa: B023
            assert reader.value("tollgate_log_rebuilds_total") == 1
            assert reader.subscription.state.dump() == await world.fold()


async def migrated(url: str) -> None:
    connection = await connect(url, application_name="test migration")
    await migrate(connection, "registry", event_log_migrations())
    await connection.close()


def failures(value: "object") -> float:
    return sum(
        value("tollgate_relay_failures_total", reason=reason)  # type: ignore[operator]
        for reason in ("unconfirmed", "disconnected", "refused")
    )


async def put_back(world: World, position: int) -> None:
    """Make the log what a backup taken at `position` holds."""
    connection = await asyncpg.connect(world.database_url)
    try:
        async with connection.transaction():
            await connection.execute("ALTER TABLE registry.events DISABLE TRIGGER USER")
            await connection.execute(
                "DELETE FROM registry.events WHERE position > $1", position
            )
            await connection.execute("ALTER TABLE registry.events ENABLE TRIGGER USER")
            await connection.execute(
                """
                UPDATE registry.head SET (position, hash, recorded_at) = (
                    SELECT position, hash, recorded_at FROM registry.events
                    WHERE position = $1
                )
                """,
                position,
            )
    finally:
        await connection.close()
