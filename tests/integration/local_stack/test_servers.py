"""The private servers do what the fault tests rely on."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import aio_pika
import asyncpg
import pytest

from local_stack.databases import Database
from local_stack.postgres import Postgres
from local_stack.rabbitmq import RabbitMQ
from local_stack.testing import TestRun


async def count_rows(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM numbers")
    finally:
        await connection.close()
    return count


async def test_postgres_keeps_what_it_committed_when_it_is_killed(
    private_postgres: Postgres,
) -> None:
    connection = await asyncpg.connect(private_postgres.url)
    await connection.execute("CREATE TABLE numbers (n int)")
    await connection.execute("INSERT INTO numbers SELECT generate_series(1, 500)")

    connection.terminate()
    await asyncio.to_thread(private_postgres.kill9)
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(private_postgres.url)
    await asyncio.to_thread(private_postgres.start)

    assert await count_rows(private_postgres.url) == 500


async def test_a_paused_postgres_answers_nobody_until_it_is_resumed(
    private_postgres: Postgres,
) -> None:
    connection = await asyncpg.connect(private_postgres.url)
    private_postgres.pause()
    answer = asyncio.create_task(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([answer], timeout=0.5)
    assert not done

    private_postgres.resume()
    assert await answer == 1
    await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="about root, who may not run Postgres")
async def test_root_has_a_postgres_where_namespaces_are_refused(
    servers: TestRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_stack.postgres._fails", lambda _command: True)
    server = await asyncio.to_thread(
        servers.start_postgres
    )  # in a folder closed to all

    connection = await asyncpg.connect(server.url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert await asyncio.to_thread(server.stop)


async def test_rabbitmq_comes_back_with_its_accounts(
    private_rabbitmq: RabbitMQ,
) -> None:
    url = private_rabbitmq.url_of("enforcement-gateway")
    await (await aio_pika.connect(url)).close()

    await asyncio.to_thread(private_rabbitmq.kill9)
    await asyncio.to_thread(private_rabbitmq.start)
    await (await aio_pika.connect(url)).close()


async def test_rabbitmq_stops_as_soon_as_it_is_told(
    private_rabbitmq: RabbitMQ,
) -> None:
    await asyncio.to_thread(private_rabbitmq.stop)
    await asyncio.to_thread(private_rabbitmq.launch)
    assert await asyncio.to_thread(private_rabbitmq.stop), "it had to be killed"


async def test_each_database_is_empty_and_its_service_may_only_connect(
    make_database: Callable[[], Awaitable[Database]],
) -> None:
    first, second = await make_database(), await make_database()
    assert first.name != second.name

    owner = await asyncpg.connect(first.owner_url)
    await owner.execute("CREATE TABLE numbers (n int)")
    await owner.close()

    service = await asyncpg.connect(first.service_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute("CREATE TABLE more (n int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute("SELECT * FROM numbers")
    await service.close()


async def test_a_role_of_one_database_cannot_connect_to_another(
    make_database: Callable[[], Awaitable[Database]],
) -> None:
    first, second = await make_database(), await make_database()
    elsewhere = first.service_url.replace(first.name, second.name).replace(
        second.service, first.service
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(elsewhere)
