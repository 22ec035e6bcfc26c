"""A projection rebuilt from a million events, beside a bare SELECT of the same rows."""

import asyncio
from functools import partial

from bench.logs.clients import Client
from bench.logs.replay import Read
from bench.logs.server import LOGS, logs_of
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    ours_at_most,
    ratio_at_least,
)

EVENTS, FEWER = 1_000_000, 50_000
PART = 5
"""The chain is verified over a part of the log: it takes six times as long."""

ROUNDS = 5
TARGET = ratio_at_least(0.85)
MEGABYTE = 1e6


async def run(bench: Bench) -> list[Row]:
    count = bench.pick(full=EVENTS, quick=FEWER)
    async with logs_of(bench) as (url, _):
        await asyncio.gather(*(_fill(bench, url, count, log) for log in LOGS))
        go = partial(_measure, bench, url, count)
        read = await bench.alternate(
            {
                f"{way} {log}": partial(go, way, log)
                for way, log in (
                    ("bare", "registry"),
                    ("state", "registry"),
                    ("bare", "tokens"),
                    ("state", "tokens"),
                )
            },
            usual=ROUNDS,
        )
        # Once: what they cost is stated, and memory is the same in each round.
        read["lines registry"] = [await go("lines", "registry")]
        read["verified registry"] = [
            await _measure(bench, url, count // PART, "verified", "registry")
        ]
    return _rows(read, count)


async def _fill(bench: Bench, url: str, count: int, log: str) -> None:
    """By a process on the core under test, beside Postgres on another."""
    filling = await Client.start(bench, "bench.logs.filling", log, count, url)
    filling.go()
    await filling.result(int)


async def _measure(bench: Bench, url: str, count: int, way: str, log: str) -> Read:
    client = await Client.start(bench, "bench.logs.replay", way, log, url, count)
    client.go()
    found = await client.result(Read)
    if found.events != count:
        raise CannotMeasure(f"{way}: {found.events} events were read of {count}")
    return found


def _rows(read: dict[str, list[Read]], count: int) -> list[Row]:
    rates = {
        name: Figure.of(each.events / each.seconds for each in rounds)
        for name, rounds in read.items()
    }
    memory = {
        name: Figure.of(each.memory / MEGABYTE for each in rounds)
        for name, rounds in read.items()
    }
    rows = [
        Row(
            what=f"replay: {what}",
            unit="events/s",
            ours=rates[f"{way} {log}"],
            peer="bare SELECT of the rows",
            theirs=rates[f"bare {log}"],
            target=target,
            details=(Detail("with the state", memory[f"{way} {log}"].median, "MB"),),
        )
        for way, log, what, target in (
            ("state", "registry", f"the registry from {count:,} events", TARGET),
            (
                "verified",
                "registry",
                f"the first {count // PART:,}, chain verified",
                None,
            ),
            ("state", "tokens", f"revocations from {count:,} events", TARGET),
        )
    ]
    return [
        *rows,
        Row(
            what="replay: reading and decoding alone",
            unit="events/s",
            ours=rates["lines registry"],
            peer="bare SELECT of the rows",
            theirs=rates["bare registry"],
        ),
        Row(
            what="replay: memory of the reader, above the state",
            unit="MB",
            ours=memory["lines registry"],
            target=ours_at_most(64),
        ),
    ]
