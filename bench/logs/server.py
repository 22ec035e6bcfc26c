"""A Postgres as `make run` starts it, with logs in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.measuring.context import Bench
from local_stack.databases import temporary_database
from local_stack.postgres import Postgres
from tollgate.database import Connection, connect
from tollgate.migrations import event_log_migrations, migrate

LOGS = ("registry", "tokens")


@asynccontextmanager
async def logs_of(bench: Bench) -> AsyncIterator[tuple[str, Connection]]:
    """URL of a database with empty `LOGS`, and a connection to it; fsync is on."""
    server = Postgres(bench.folder / "postgres-of-logs", ledger=bench.ledger)
    server.start()
    try:
        async with temporary_database(server.url) as database:
            connection = await connect(database.url, application_name="bench")
            try:
                for log in LOGS:
                    await migrate(connection, log, event_log_migrations())
                yield database.url, connection
            finally:
                await connection.close()
    finally:
        server.discard()
