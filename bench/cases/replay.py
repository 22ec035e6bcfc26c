"""A projection rebuilt from a million events, beside a bare SELECT of the same rows."""

from functools import partial

from bench.logs.clients import Client
from bench.logs.filling import fill
from bench.logs.histories import registry_facts, revocation_facts
from bench.logs.replay import Read
from bench.logs.server import logs_of
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    ours_at_most,
    ratio_at_least,
)

EVENTS, FEWER = 1_000_000, 100_000
ROUNDS = 3
MEGABYTE = 1e6


async def run(bench: Bench) -> list[Row]:
    count = bench.pick(full=EVENTS, quick=FEWER)
    async with logs_of(bench) as (url, connection):
        await fill(connection, "registry", registry_facts(), count)
        await fill(connection, "tokens", revocation_facts(), count)
        ways = [
            (way, log)
            for log in ("registry", "tokens")
            for way in ("bare", "state", "lines", "verified")
            if (way, log) != ("lines", "tokens")
        ]
        read = await bench.alternate(
            {
                f"{way} {log}": partial(_measure, bench, way, log, url, count)
                for way, log in ways
            },
            usual=ROUNDS,
        )
    return _rows(read, count)


async def _measure(bench: Bench, way: str, log: str, url: str, count: int) -> Read:
    client = await Client.start(bench, "bench.logs.replay", way, log, url)
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
    rows = []
    for log, of in (("registry", "the registry"), ("tokens", "revocations")):
        for way, how in (("state", ""), ("verified", ", chain verified")):
            name = f"{way} {log}"
            rows.append(
                Row(
                    what=f"replay: {of} from {count:,} events{how}",
                    unit="events/s",
                    ours=rates[name],
                    peer="bare SELECT of the rows",
                    theirs=rates[f"bare {log}"],
                    target=ratio_at_least(0.85) if way == "state" else None,
                    details=(Detail("with the state", memory[name].median, "MB"),),
                )
            )
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
