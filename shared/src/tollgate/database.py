"""Connections to PostgreSQL, with the limits that every one of them has."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

CONNECT_TIMEOUT = 3.0
"""Seconds until a connection that is not made is given up."""

COMMAND_TIMEOUT = 5.0
"""Seconds until a statement without an answer is given up by the client."""

LOCK_TIMEOUT = 2.0
"""Seconds until a statement that waits for a lock is rolled back."""

SERVER_LIMITS: Mapping[str, str] = {
    "statement_timeout": "5s",
    "lock_timeout": f"{LOCK_TIMEOUT:g}s",
    "idle_in_transaction_session_timeout": "5s",
    # A peer that vanished without a word must not hold a lock until TCP gives up.
    "tcp_user_timeout": "10000",
    "timezone": "UTC",
    "jit": "off",
}

LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server died between two messages of its answer
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""The connection is gone or silent: whether the statement took effect is unknown."""

UNDONE = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresIOError,
)
"""The server says that it rolled the statement back, and that later may be better."""


async def connect(url: str, *, application_name: str) -> Connection:
    """One connection of its own; raises one of `LOST` or `UNDONE` if it cannot be."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings={**SERVER_LIMITS, "application_name": application_name},
    )


@asynccontextmanager
async def open_pool(
    url: str, *, application_name: str, max_size: int = 8
) -> AsyncIterator[Pool]:
    """A pool that starts empty: a server that is down does not stop the start."""
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings={**SERVER_LIMITS, "application_name": application_name},
        reset=_leave_as_it_is,
    )
    try:
        yield await pool
    finally:
        pool.terminate()


async def _leave_as_it_is(_: Connection) -> None:
    """Nobody changes the state of a pooled session, so nothing is to be reset.

    To ask the server to do so would double the time of every read.
    """
