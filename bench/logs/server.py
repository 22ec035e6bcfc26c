"""A Postgres as `make run` starts it, with logs in it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from bench.measuring.context import Bench
from bench.measuring.figures import Detail
from local_stack.databases import temporary_database
from local_stack.postgres import Postgres
from tollgate.database import Connection, connect
from tollgate.migrations import event_log_migrations, migrate

LOGS = ("registry", "tokens")


@contextmanager
def postgres_for(bench: Bench, whom: str) -> Iterator[str]:
    """The URL of a server of its own; fsync is on."""
    server = Postgres(bench.folder / f"postgres-for-{whom}", ledger=bench.ledger)
    server.start()
    try:
        yield server.url
    finally:
        server.discard()


async def time_flushes(connection: Connection) -> None:
    """From now on the server counts for how long it flushes its WAL."""
    await _have(connection, "track_wal_io_timing = on")
    await connection.execute("SELECT pg_stat_reset_shared('io')")


async def a_flush(connection: Connection) -> Detail:
    """The mean since `time_flushes`; a session tells its own when a second is over."""
    milliseconds = await connection.fetchval(
        "SELECT coalesce(sum(fsync_time) / nullif(sum(fsyncs), 0)::float, 0)"
        " FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'"
    )
    return Detail("a flush", milliseconds, "ms")


async def have_slower_disk(connection: Connection, milliseconds: float) -> None:
    """From now on each flush takes so much longer, whoever it is for."""
    await _have(connection, "commit_siblings = 0")  # not only beside others at work
    await _have(connection, f"commit_delay = {round(milliseconds * 1e3)}")


async def _have(connection: Connection, setting: str) -> None:
    await connection.execute(f"ALTER SYSTEM SET {setting}")
    await connection.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def logs_of(bench: Bench) -> AsyncIterator[tuple[str, Connection]]:
    """URL of a database with empty `LOGS`, and a connection to it."""
    with postgres_for(bench, "logs") as url:
        async with temporary_database(url) as database:
            connection = await connect(database.url, application_name="bench")
            try:
                for log in LOGS:
                    await migrate(connection, log, event_log_migrations())
                yield database.url, connection
            finally:
                await connection.close()


async def have_recycled_wal(connection: Connection, segments: int) -> None:
    """Put the server where it is after hours of writing, and not minutes after initdb.

    A server that has been through some checkpoints writes into WAL segments that it
    used before. A new one makes each of them, and every caller waits some 30 ms for it.
    `segments`: of 16 MB, at least as many as are written then.
    """
    await connection.execute("SET statement_timeout = 0")
    for _ in range(segments):
        await connection.execute("SELECT pg_logical_emit_message(false, '', '')")
        await connection.execute("SELECT pg_switch_wal()", timeout=10)
    await connection.execute("CHECKPOINT", timeout=60)
