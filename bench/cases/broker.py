"""A log through relay, broker and subscription: many events in a message, or one."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import msgspec

from bench import ROOT
from bench.broker.flow import LOG, Flow
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import Figure, Row, ratio_at_least
from local_stack.databases import temporary_database
from tollgate.database import connect, open_pool
from tollgate.eventlog import AppendGroup, open_event_log
from tollgate.events.registry import SourceCreated, WriteKeyAdded
from tollgate.messaging.messages import MAX_EVENTS
from tollgate.migrations import event_log_migrations, migrate

ROUNDS = 3
GROUP = 500
"""Sources created in one append."""


async def run(bench: Bench) -> list[Row]:
    many = bench.pick(full=40_000, quick=10_000)
    few = bench.pick(full=4_000, quick=1_000)
    postgres_url, broker = await bench.servers()
    host = broker.new_virtual_host()
    users = [host.url_of(user) for user in ("app-registry", "enforcement-gateway")]

    def flow(url: str, events: int, batch: int) -> Callable[[], Awaitable[Flow]]:
        return lambda: _flow(bench, [url, *users, str(events), str(batch)])

    async with (
        temporary_database(postgres_url) as long,
        temporary_database(postgres_url) as short,
    ):
        await _fill(long.owner_url, many)
        await _fill(short.owner_url, few)
        measured = await bench.alternate(
            {
                "many": flow(long.owner_url, many, MAX_EVENTS),
                "one": flow(short.owner_url, few, 1),
            },
            usual=ROUNDS,
        )
    return [
        Row(
            what=what,
            unit="events/s",
            ours=Figure.of(many / seconds(each) for each in measured["many"]),
            peer="one event a message",
            theirs=Figure.of(few / seconds(each) for each in measured["one"]),
            target=ratio_at_least(5),
        )
        for what, seconds in (
            (f"relay, {MAX_EVENTS} events a message", _relayed),
            (f"relay to subscription, {MAX_EVENTS} events a message", _applied),
        )
    ]


def _relayed(flow: Flow) -> float:
    return flow.relayed


def _applied(flow: Flow) -> float:
    return flow.applied


async def _fill(database_url: str, count: int) -> None:
    """A log of so many events, two on each stream."""
    connection = await connect(database_url, application_name="fill")
    await migrate(connection, LOG, event_log_migrations())
    await connection.close()
    async with (
        open_pool(database_url, application_name="fill") as pool,
        open_event_log(LOG, pool, database_url) as log,
    ):
        for begin in range(0, count // 2, GROUP):
            await log.append(
                AppendGroup(
                    events=[
                        (f"source-src_{number}", event)
                        for number in range(begin, min(begin + GROUP, count // 2))
                        for event in (
                            SourceCreated(
                                workspace_id="ws_1",
                                name=f"source {number}",
                                source_type="python",
                            ),
                            WriteKeyAdded(write_key=f"write-key-of-{number}"),
                        )
                    ]
                )
            )


async def _flow(bench: Bench, arguments: list[str]) -> Flow:
    process = await asyncio.create_subprocess_exec(
        *bench.cores.command_under_test,
        *(sys.executable, "-m", "bench.broker.flow", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise CannotMeasure("the log did not flow")
    return msgspec.json.decode(printed, type=Flow)
