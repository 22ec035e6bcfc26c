"""The table of private keys: sealed, in a schema of its own, never in an event."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from token_issuer.sealing import Sealed
from tollgate.database import LOST, UNDONE, Pool
from tollgate.errors import Unavailable
from tollgate.migrations import Migration, read_migration

SCHEMA = "keys"


def key_migrations() -> list[Migration]:
    return [read_migration("token_issuer", "0001_private_keys.sql")]


class KeptKey(msgspec.Struct, frozen=True):
    """`kept_at` is the database's time."""

    kid: str
    sealed: Sealed
    kept_at: datetime


class KeyStore:
    """Every method raises `Unavailable` when the database cannot be asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """The database's time, which is also the log's: no replica's own clock."""
        async with _asking():
            now: datetime = await self._pool.fetchval("SELECT clock_timestamp()")
        return now

    async def read_all(self) -> list[KeptKey]:
        async with _asking():
            rows = await self._pool.fetch(
                "SELECT kid, sealed_by, box, kept_at FROM keys.private_keys"
            )
        return [
            KeptKey(row["kid"], Sealed(row["sealed_by"], row["box"]), row["kept_at"])
            for row in rows
        ]

    async def keep(self, kid: str, sealed: Sealed) -> None:
        await self._call(
            "SELECT keys.keep($1, $2, $3)", kid, sealed.sealed_by, sealed.box
        )

    async def seal_again(self, held: KeptKey, sealed: Sealed) -> None:
        """Replace the seal of `held`, unless somebody else has done so meanwhile."""
        await self._call(
            "SELECT keys.seal_again($1, $2, $3, $4)",
            held.kid,
            held.sealed.box,
            sealed.sealed_by,
            sealed.box,
        )

    async def forget(self, kid: str) -> None:
        await self._call("SELECT keys.forget($1)", kid)

    async def _call(self, call: str, *arguments: object) -> None:
        async with _asking():
            await self._pool.execute(call, *arguments)


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    try:
        yield
    except (*LOST, *UNDONE) as error:
        raise Unavailable("the signing keys cannot be read") from error
