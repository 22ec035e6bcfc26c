"""The private servers do what the fault tests rely on."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from local_stack.databases import Database
from local_stack.postgres import Postgres


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
