"""Reads the first events of a log once: one process.

    python -m bench.logs.replay WAY LOG URL COUNT

WAY is `bare` (SELECT of six columns in pages of 5000), `lines` (the reader of replay,
which decodes and folds nothing), `state` (replay into the projection of that log) or
`verified` (every row as a RecordedEvent, checked against the chain and folded). Prints
a line, waits for one on standard input, reads COUNT events, and prints `Read` as JSON.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime

import msgspec
import uvloop

from bench.measuring.processes import peak_resident_bytes, resident_bytes
from tollgate.database import connect, open_pool
from tollgate.eventlog import EventLog
from tollgate.eventlog.committer import GroupCommitter
from tollgate.eventlog.replay import Replayable
from tollgate.events import RecordedEvent
from tollgate.events.registry import RegistryEvent
from tollgate.projections.replica import Replica
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState

PAGE = 5000


class Read(msgspec.Struct, frozen=True):
    """`memory`: bytes that the process grew by at most."""

    seconds: float
    events: int
    memory: int


class Forgetful:
    """Decodes everything and keeps nothing: what reading alone costs."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(tuple[int, str, RegistryEvent])

    def apply(self, recorded: RecordedEvent) -> None:
        pass

    def fold_lines(self, _: int, lines: bytes) -> int:
        return len(self._decoder.decode_lines(lines))

    def reach(self, recorded_at: datetime) -> None:
        pass


STATES: Mapping[str, type[RegistryState] | type[TokensState]] = {
    "registry": RegistryState,
    "tokens": TokensState,
}


async def bare(log: str, url: str, count: int) -> int:
    connection = await connect(url, application_name="bench")
    read = position = 0
    query = (
        "SELECT position, stream, version, type, data, recorded_at"  # noqa: S608
        f" FROM {log}.events WHERE position > $1 ORDER BY position LIMIT {PAGE}"
    )
    while position < count and (rows := await connection.fetch(query, position)):
        read += len(rows)
        position = rows[-1]["position"]
    await connection.close()
    return read


async def replayed(log: str, url: str, count: int, state: Replayable) -> int:
    async with open_pool(url, application_name="bench", max_size=1) as pool:
        return await _opened(log, pool, url).replay(state, to=count)


async def verified(log: str, url: str, count: int) -> int:
    replica = Replica(log, STATES[log]())
    async with (
        open_pool(url, application_name="bench", max_size=1) as pool,
        aclosing(_opened(log, pool, url).pages(size=PAGE)) as pages,
    ):
        async for page in pages:
            for recorded in page:
                replica.take(recorded)
            if replica.position >= count:
                break
    return replica.position


def _opened(log: str, pool: object, url: str) -> EventLog:
    return EventLog(log, pool, GroupCommitter(url, log, "bench"))  # type: ignore[arg-type]


async def measure(way: str, log: str, url: str, count: int) -> None:
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    before, started = resident_bytes(os.getpid()), time.monotonic()
    match way:
        case "bare":
            events = await bare(log, url, count)
        case "lines":
            events = await replayed(log, url, count, Forgetful())
        case "state":
            events = await replayed(log, url, count, STATES[log]())
        case _:
            events = await verified(log, url, count)
    seconds = time.monotonic() - started
    memory = peak_resident_bytes(os.getpid()) - before
    print(msgspec.json.encode(Read(seconds, events, memory)).decode(), flush=True)


if __name__ == "__main__":
    way, log, url, count = sys.argv[1:]
    uvloop.run(measure(way, log, url, int(count)))
