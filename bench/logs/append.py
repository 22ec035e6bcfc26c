"""Callers that append in a closed loop: one process of them.

    python -m bench.logs.append WAY URL CALLERS SECONDS NAME CONNECTIONS

WAY is `ours` (the committer of the services), `one` (the same SQL function, called and
committed for each append, on CONNECTIONS), or `raw` (INSERT by unnest of what waits: no
head, no versions, no chain). Prints a line when it is warm, waits for one on standard
input, measures for SECONDS, and prints `Measured` as JSON.
"""

import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import msgspec
import uvloop

from bench.measuring.processes import share_stolen, stolen_seconds
from tollgate.background import running
from tollgate.database import Connection, connect, open_pool
from tollgate.eventlog import AppendGroup, WrongExpectedVersion, open_event_log
from tollgate.eventlog.groups import arguments_of, encode_group
from tollgate.events import EventMetadata, encode
from tollgate.events.recorded import tag_of
from tollgate.events.registry import OAuthAppRenamed

FACT = OAuthAppRenamed(name="x" * 225)
METADATA = EventMetadata(
    actor="member-mem_0123456789012345678901", request_id="req_0123456789012345"
)
OWN_STREAMS = 32
"""Streams that a caller writes again and again."""

MOST_IN_A_CALL = 200
WARM_UP = 0.7

Append: TypeAlias = Callable[[AppendGroup], Awaitable[object]]


class Measured(msgspec.Struct, frozen=True):
    """`p50` and `p99` in milliseconds, `cpu` in microseconds for each append.

    `stolen` is the share of their time for which the machine's cores stood still.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    stolen: float


class Caller:
    """Makes groups of 1 to 3 events over 1 or 2 streams, and knows their versions.

    60 % have one event, 15 % two on one stream, 15 % two on two, 10 % three on two;
    30 % write to a new stream; 1 % are conflicts on purpose. Each states the version of
    every stream it writes to.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._draw = random.Random(seed).random  # noqa: S311 - a load, not a secret
        self._prefix = f"oauth_app-app_{name}"
        self._own = [f"{self._prefix}o{number:07d}" for number in range(OWN_STREAMS)]
        self._versions: dict[str, int] = {}
        self._made = 0

    def next_group(self) -> AppendGroup:
        """What costs the load little, as it shares the core of what is measured."""
        self._made += 1
        draw = self._draw
        pick = int(draw() * OWN_STREAMS)
        is_new = draw() < 0.3
        first = f"{self._prefix}n{self._made:07d}" if is_new else self._own[pick]
        shape = draw()
        wrong = 1000 if draw() < 0.01 else 0
        versions = self._versions
        events = [(first, FACT)]
        expected = {first: versions.get(first, 0) + wrong}
        if 0.6 <= shape < 0.75 or shape >= 0.9:
            events.append((first, FACT))
        if shape >= 0.75:
            second = self._own[(pick + 1) % OWN_STREAMS]
            events.append((second, FACT))
            expected[second] = versions.get(second, 0) + wrong
        return AppendGroup(events=events, expected=expected, metadata=METADATA)

    def note(self, appended: AppendGroup) -> None:
        versions = self._versions
        for stream, _ in appended.events:
            versions[stream] = versions.get(stream, 0) + 1


@asynccontextmanager
async def ours(url: str, _: int) -> AsyncIterator[Append]:
    async with (
        open_pool(url, application_name="bench") as pool,
        open_event_log("registry", pool, url) as log,
    ):
        yield log.append


@asynccontextmanager
async def one(url: str, connections: int) -> AsyncIterator[Append]:
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    every = [await connect(url, application_name="bench") for _ in range(connections)]
    for each in every:
        idle.put_nowait(each)
    numbers = ", ".join(f"${number}" for number in range(1, 15))
    call = f"SELECT * FROM registry.append_groups({numbers})"  # noqa: S608 - numbers

    async def append(group: AppendGroup) -> None:
        arguments = arguments_of([encode_group(group)])
        connection = await idle.get()
        try:
            (row,) = await connection.fetch(call, *arguments)
        finally:
            idle.put_nowait(connection)
        if row["outcomes"] == ["conflict"]:
            raise WrongExpectedVersion(row["details"][0])

    yield append
    for each in every:
        await each.close()


class RawInserts:
    """Group commit as in the committer, of rows that nothing is known of."""

    INSERT = """
        INSERT INTO raw_events (
            position, stream, version, type, data, metadata, recorded_at, hash
        )
        SELECT
            position, stream, version, type, data, metadata, clock_timestamp(), hash
        FROM unnest(
            $1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[],
            $6::text[], $7::bytea[]
        ) AS new (position, stream, version, type, data, metadata, hash)
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[
            tuple[list[tuple[str, str, str, str]], asyncio.Future[None]]
        ] = deque()
        self._wake = asyncio.Event()
        self._position = 0

    async def append(self, group: AppendGroup) -> None:
        metadata = encode(group.metadata).decode()
        rows = [
            (stream, tag_of(type(event)), encode(event).decode(), metadata)
            for stream, event in group.events
        ]
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        self._wake.set()
        await future

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._insert(min(len(self._waiting), MOST_IN_A_CALL))

    async def _insert(self, count: int) -> None:
        columns: list[list[object]] = [[] for _ in range(7)]
        futures = []
        for _ in range(count):
            rows, future = self._waiting.popleft()
            futures.append(future)
            for stream, kind, data, metadata in rows:
                self._position += 1
                place = self._position
                row = (place, stream, place, kind, data, metadata, bytes(32))
                for column, value in zip(columns, row, strict=True):
                    column.append(value)
        await self._connection.execute(self.INSERT, *columns)
        for future in futures:
            future.set_result(None)


@asynccontextmanager
async def raw(url: str, _: int) -> AsyncIterator[Append]:
    connection = await connect(url, application_name="bench")
    await connection.execute("DROP TABLE IF EXISTS raw_events")
    await connection.execute(
        "CREATE TABLE raw_events (LIKE registry.events INCLUDING ALL)"
    )
    inserts = RawInserts(connection)
    async with running(inserts.run()):
        yield inserts.append
    await connection.close()


WAYS: Mapping[str, Callable[[str, int], AbstractAsyncContextManager[Append]]] = {
    "ours": ours,
    "one": one,
    "raw": raw,
}


class Load:
    """All callers of a process, and how long each of their appends took."""

    def __init__(self, append: Append) -> None:
        self._append = append
        self.taken: list[float] = []

    async def run(self, callers: list[Caller], seconds: float) -> None:
        self.taken.clear()
        stop = time.monotonic() + seconds
        await asyncio.gather(*(self._call(each, stop) for each in callers))

    async def _call(self, caller: Caller, stop: float) -> None:
        while (sent := time.monotonic()) < stop:
            group = caller.next_group()
            try:
                await self._append(group)
            except WrongExpectedVersion:
                pass
            else:
                caller.note(group)
            self.taken.append(time.monotonic() - sent)


async def measure(  # noqa: PLR0917 - one for each argument of the command
    way: str, url: str, count: int, seconds: float, name: str, connections: int
) -> None:
    callers = [Caller(f"{name}{number:03d}", number) for number in range(count)]
    async with WAYS[way](url, connections) as append:
        load = Load(append)
        await load.run(callers, WARM_UP)
        print("warm", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        started, cpu = time.monotonic(), time.process_time()
        stolen = stolen_seconds()
        await load.run(callers, seconds)
        stolen = stolen_seconds() - stolen
        elapsed, cpu = time.monotonic() - started, time.process_time() - cpu
    taken = sorted(load.taken)
    measured = Measured(
        rate=len(taken) / elapsed,
        p50=taken[len(taken) // 2] * 1e3,
        p99=taken[len(taken) * 99 // 100] * 1e3,
        cpu=cpu / len(taken) * 1e6,
        stolen=share_stolen(stolen, elapsed),
    )
    print(msgspec.json.encode(measured).decode(), flush=True)


if __name__ == "__main__":
    way_, url_, callers_, seconds_, name_, connections_ = sys.argv[1:]
    uvloop.run(
        measure(way_, url_, int(callers_), float(seconds_), name_, int(connections_))
    )
