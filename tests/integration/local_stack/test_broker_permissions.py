"""Each service's account on the broker may do its own work and nothing else."""

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from local_stack.testing import VirtualHost

SUBSCRIBERS = ["app-registry", "token-issuer", "enforcement-gateway"]
OWNERS = {"app-registry": "tollgate.registry", "token-issuer": "tollgate.tokens"}
LOGS = ["tollgate.registry", "tollgate.tokens"]


async def publish(channel: AbstractChannel, exchange: str) -> None:
    target = await channel.get_exchange(exchange, ensure=False)
    await target.publish(aio_pika.Message(b"event"), "any.type", mandatory=False)


@pytest.mark.parametrize("service", SUBSCRIBERS)
async def test_a_subscriber_reads_both_logs_through_its_own_queue(
    virtual_host: VirtualHost, service: str
) -> None:
    async with (
        await aio_pika.connect(virtual_host.url_of(service)) as connection,
        await aio_pika.connect(virtual_host.url) as operator,
    ):
        channel = await connection.channel()
        queue = await channel.declare_queue(
            f"tollgate.{service}.test", exclusive=True, auto_delete=True
        )
        for log in LOGS:
            await queue.bind(log, "#")
            await publish(await operator.channel(), log)
            message = await queue.get(timeout=5)
            assert message is not None
            await message.ack()


@pytest.mark.parametrize("service", SUBSCRIBERS)
@pytest.mark.parametrize("exchange", LOGS)
async def test_only_the_owner_of_a_log_writes_to_its_exchange(
    virtual_host: VirtualHost, service: str, exchange: str
) -> None:
    if not virtual_host.has_service_users:
        pytest.skip("the given broker has one user")
    async with await aio_pika.connect(virtual_host.url_of(service)) as connection:
        channel = await connection.channel(publisher_confirms=True)
        if OWNERS.get(service) == exchange:
            await publish(channel, exchange)
        else:
            with pytest.raises(ChannelAccessRefused):
                await publish(channel, exchange)
