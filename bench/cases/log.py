"""Appends by 64 callers, beside a commit for each and INSERTs without checks."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from bench.logs.append import Measured
from bench.logs.clients import Client
from bench.logs.server import (
    a_flush,
    have_recycled_wal,
    have_slower_disk,
    logs_of,
    time_flushes,
)
from bench.measuring.context import Bench
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    Target,
    ours_at_most,
    ratio_at_least,
    stood_still,
)

CALLERS = 64
ROUNDS = 3
CONNECTIONS = (2, 4)
"""Of one commit for each append: the best of these counts. One was never the best."""

FLUSH_LONGER = 0.25
"""Milliseconds that a flush takes longer in the last row, as on a volume behind a
network, or with a standby that is waited for."""

MIX = "64 callers, 1-3 events, 1-2 streams"


async def run(bench: Bench) -> list[Row]:
    longer, seconds = bench.pick(full=(3.0, 2.0), quick=(1.0, 1.0))
    async with logs_of(bench) as (url, connection):
        await have_recycled_wal(connection, bench.pick(full=64, quick=12))
        go = partial(_measure, bench, url)
        contenders: dict[str, Callable[[], Awaitable[Measured]]] = {
            # The slowest hundredth of it counts as well.
            "ours": partial(go, "ours", longer),
            "two": partial(go, "ours", longer, processes=2),
            "raw": partial(go, "raw", seconds),
        }
        for count in CONNECTIONS:
            contenders[f"one on {count}"] = partial(
                go, "one", seconds, connections=count
            )
        await time_flushes(connection)
        measured = await bench.alternate(contenders, usual=ROUNDS)
        rows = _rows(measured, await a_flush(connection))
        if not bench.quick:
            await have_slower_disk(connection, FLUSH_LONGER)
            both = ("ours", _best_singly(measured))
            slower = await bench.alternate(
                {name: contenders[name] for name in both}, usual=ROUNDS
            )
            rows.append(_beside_commit_each(slower, f"+{FLUSH_LONGER} ms a flush"))
    return rows


async def _measure(
    bench: Bench,
    url: str,
    way: str,
    seconds: float,
    *,
    processes: int = 1,
    connections: int = 1,
) -> Measured:
    """Measure `CALLERS` in as many processes: rates added up, times of the slowest."""
    callers = CALLERS // processes
    clients = [
        await Client.start(
            bench,
            "bench.logs.append",
            *(way, url, callers, seconds, secrets.token_hex(4), connections),
        )
        for _ in range(processes)
    ]
    for each in clients:
        each.go()
    found = await asyncio.gather(*(each.result(Measured) for each in clients))
    return Measured(
        rate=sum(each.rate for each in found),
        p50=max(each.p50 for each in found),
        p99=max(each.p99 for each in found),
        cpu=sum(each.cpu for each in found) / processes,
        stolen=max(each.stolen for each in found),
    )


def _rates(measured: Mapping[str, list[Measured]]) -> dict[str, Figure]:
    return {
        name: Figure.of(each.rate for each in rounds)
        for name, rounds in measured.items()
    }


def _best_singly(measured: Mapping[str, list[Measured]]) -> str:
    rates = _rates(measured)
    singly = (name for name in measured if name.startswith("one on "))
    return max(singly, key=lambda name: rates[name].median)


def _beside_commit_each(
    measured: Mapping[str, list[Measured]],
    what: str,
    target: Target | None = None,
    *details: Detail,
) -> Row:
    rates, singly = _rates(measured), _best_singly(measured)
    p50, p99 = (
        Figure.of(getattr(each, name) for each in measured["ours"])
        for name in ("p50", "p99")
    )
    return Row(
        what=f"appends: {what}",
        unit="/s",
        ours=rates["ours"],
        peer=f"{singly.replace('one', 'a commit each')} connections",
        theirs=rates[singly],
        target=target,
        details=(
            Detail("p50", p50.median, "ms"),
            Detail("p99", p99.median, "ms"),
            *details,
        ),
    )


def _rows(measured: Mapping[str, list[Measured]], flush: Detail) -> list[Row]:
    rates = _rates(measured)
    return [
        _beside_commit_each(measured, MIX, ratio_at_least(12), flush),
        Row(
            what="appends: the same",
            unit="/s",
            ours=rates["ours"],
            peer="batched INSERT without head and checks",
            theirs=rates["raw"],
            target=ratio_at_least(0.6),
        ),
        Row(
            what="appends: two processes",
            unit="/s",
            ours=rates["two"],
            peer="one process",
            theirs=rates["ours"],
            target=ratio_at_least(0.85),
        ),
        Row(
            what="appends: 99 of 100 take",
            unit="ms",
            ours=Figure.of(each.p99 for each in measured["ours"]),
            target=ours_at_most(6),
            details=(stood_still(each.stolen for each in measured["ours"]),),
        ),
    ]
