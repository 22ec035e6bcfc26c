"""The service as processes: racing, killed, told to stop, without a database.

What was acknowledged is in the log, once; what was not may be asked for again.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from app_registry import bootstrap
from app_registry.testing.api import Answer, Api
from app_registry.testing.requests import app_body, source_body
from local_stack.databases import Database, temporary_database
from local_stack.postgres import Postgres
from local_stack.service_process import ServiceProcess
from tollgate.settings import Secret
from tollgate.testing.waiting import until

from .conftest import make_owner, registry_process

RACES = 1000
LANES = 10
"""Races that run at the same time, each with a source of its own."""

Start = Callable[[Database], Awaitable[ServiceProcess]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a registry process on a database; all are gone afterwards."""
    async with AsyncExitStack() as stack:

        async def start_one(database: Database) -> ServiceProcess:
            process = registry_process(database, tmp_path)
            stack.callback(process.discard)
            await asyncio.to_thread(process.start)
            return process

        yield start_one


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=15)) as session:
        yield session


def is_answered(api: Api, path: str, status: int) -> Callable[[], Awaitable[bool]]:
    """Whether a GET is answered with that status: a condition to wait for."""

    async def does() -> bool:
        return (await api.get(path)).status == status

    return does


async def test_connect_and_delete_raced_from_two_processes(
    start: Start, registry_database: Database, session: ClientSession
) -> None:
    """A thousand races never leave a connected source without an app."""
    token = await make_owner(registry_database)
    first, second = [
        Api(session, (await start(registry_database)).url, token) for _ in range(2)
    ]
    winners: Counter[str] = Counter()

    async def race(source: str) -> None:
        app = (await first.made("/v1/oauth-apps", app_body()))["id"]
        connection, deletion = f"{source}/oauth-app", f"/v1/oauth-apps/{app}"

        async def connect() -> Answer:
            return await first.put(connection, {"app_id": app})

        async def delete() -> Answer:
            await asyncio.sleep(random.uniform(-0.002, 0.002))  # noqa: S311
            return await second.delete(f"{deletion}?confirm_name=Shop")

        connected, deleted = await asyncio.gather(connect(), delete())
        after = (await second.get(source)).body
        app_after = await first.get(deletion)
        if connected.status == 200:
            assert deleted.status == 409, deleted
            assert after["app_id"] == app
            assert app_after.body["sources"] == [after["id"]]
            winners["connect"] += 1
            assert (await second.delete(connection)).status == 204
        else:
            assert (connected.status, deleted.status) == (404, 204)
            assert after["app_id"] is None
            assert app_after.status == 404
            winners["delete"] += 1

    async def lane() -> None:
        made = await first.made("/v1/sources", source_body())
        for _ in range(RACES // LANES):
            await race(f"/v1/sources/{made['id']}")

    await asyncio.gather(*(lane() for _ in range(LANES)))
    assert winners.total() == RACES
    assert min(winners["connect"], winners["delete"]) > RACES // 100, winners


async def test_what_was_acknowledged_survives_a_kill(
    start: Start, registry_database: Database, session: ClientSession
) -> None:
    token = await make_owner(registry_database)
    acknowledged: set[str] = set()
    names = count()
    for _ in range(3):
        process = await start(registry_database)
        api = Api(session, process.url, token)
        started = len(acknowledged)

        async def work(api: Api = api) -> None:
            while True:
                name = f"s{next(names)}"
                try:
                    answer = await api.post("/v1/sources", source_body(name))
                except ClientError:
                    return
                assert answer.status == 201
                acknowledged.add(name)

        workers = [asyncio.create_task(work()) for _ in range(8)]
        await until(lambda: len(acknowledged) >= started + 100)  # noqa: B023
        await asyncio.to_thread(process.kill9)
        await asyncio.gather(*workers)
    api = Api(session, (await start(registry_database)).url, token)
    recorded = (await api.get("/v1/sources?limit=1000")).body["data"]
    by_name = Counter(each["name"] for each in recorded)
    assert acknowledged <= set(by_name)
    assert max(by_name.values()) == 1


async def test_told_to_stop_it_answers_what_it_accepted(
    start: Start, registry_database: Database, session: ClientSession
) -> None:
    token = await make_owner(registry_database)
    process = await start(registry_database)
    api = Api(session, process.url, token)
    statuses: list[int] = []

    async def work() -> None:
        while True:
            try:
                answer = await api.post("/v1/sources", source_body())
            except ClientError:
                return  # it listens no more
            statuses.append(answer.status)

    workers = [asyncio.create_task(work()) for _ in range(8)]
    await until(lambda: len(statuses) >= 50)
    assert await asyncio.to_thread(process.stop)
    await asyncio.gather(*workers)
    assert set(statuses) == {201}


async def test_told_to_stop_it_lets_a_waiting_reader_go(
    start: Start, registry_database: Database, session: ClientSession
) -> None:
    token = await make_owner(registry_database)
    process = await start(registry_database)
    assert (await Api(session, process.url, token).get("/v1/workspace")).status == 200
    reader = Api(session, process.url, "a feed credential")
    feed = "/v1/events?log=registry&after=4"  # the founding, and the use of its token
    await until(is_answered(reader, feed, 200))
    patient = asyncio.create_task(reader.get(f"{feed}&wait=30"))
    answered, _ = await asyncio.wait({patient}, timeout=0.5)
    assert not answered
    loop = asyncio.get_running_loop()
    told = loop.time()
    assert await asyncio.to_thread(process.stop)
    assert loop.time() - told < 5
    assert (await patient).status == 200


async def test_without_a_database_it_says_so_and_comes_back(
    start: Start, private_postgres: Postgres, session: ClientSession
) -> None:
    async with temporary_database(private_postgres.url) as database:
        await bootstrap.migrate(
            Secret(database.owner_url), Secret(database.service_url)
        )
        token = await make_owner(database)
        process = await start(database)
        api = Api(session, process.url, token)
        source = await api.made("/v1/sources", source_body())

        await asyncio.to_thread(private_postgres.kill9)
        for answer in await asyncio.gather(
            *(api.get(f"/v1/sources/{source['id']}") for _ in range(5)),
            *(api.post("/v1/sources", source_body()) for _ in range(5)),
        ):
            assert (answer.status, answer.problem) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
        assert (await api.get("/livez")).status == 200
        await until(is_answered(api, "/readyz", 503))

        await asyncio.to_thread(private_postgres.start)
        await until(is_answered(api, f"/v1/sources/{source['id']}", 200), within=10)
        assert (await api.post("/v1/sources", source_body())).status == 201


async def test_a_database_that_hangs_is_not_waited_for_long(
    start: Start, private_postgres: Postgres, session: ClientSession
) -> None:
    async with temporary_database(private_postgres.url) as database:
        await bootstrap.migrate(
            Secret(database.owner_url), Secret(database.service_url)
        )
        token = await make_owner(database)
        api = Api(session, (await start(database)).url, token)
        await api.made("/v1/sources", source_body())
        await asyncio.to_thread(private_postgres.pause)
        try:
            loop = asyncio.get_running_loop()
            asked = loop.time()
            answers = await asyncio.gather(
                *(api.get("/v1/sources") for _ in range(20)),
                *(
                    api.post("/v1/sources", source_body(), {"Idempotency-Key": f"k{n}"})
                    for n in range(20)
                ),
            )
            assert {answer.status for answer in answers} == {503}
            assert loop.time() - asked <= 10
        finally:
            await asyncio.to_thread(private_postgres.resume)
        await until(is_answered(api, "/v1/sources", 200), within=10)
        for n in range(20):
            answer = await api.post(
                "/v1/sources", source_body(), {"Idempotency-Key": f"k{n}"}
            )
            assert answer.status == 201
        listed = (await api.get("/v1/sources")).body["data"]
        assert len(listed) == 21
