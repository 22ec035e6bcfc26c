"""What an issuer has after a while: many apps, and many assertions on record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from token_issuer.testing.registry import DAY, WORKSPACE, RegistryStandIn
from tollgate.database import Connection, connect
from tollgate.eventlog import AppendGroup
from tollgate.events.registry import KeyAdded, OAuthAppCreated
from tollgate.ids import new_id
from tollgate.oauth.scopes import Scope
from tollgate.oauth.signing_keys import SigningKey

_AT_ONCE = 500
_BLANKS = 5


async def add_apps(registry: RegistryStandIn, key: SigningKey, count: int) -> list[str]:
    """So many more apps; the last of them stands at the end of the registry's log."""
    ids = [new_id("app") for _ in range(count)]
    for start in range(0, count, _AT_ONCE):
        numbered = enumerate(ids[start : start + _AT_ONCE], start)
        await asyncio.gather(
            *(_add_app(registry, key, app_id, number) for number, app_id in numbered)
        )
    return ids


async def _add_app(
    registry: RegistryStandIn, key: SigningKey, app_id: str, number: int
) -> None:
    stream = f"oauth_app-{app_id}"
    created = OAuthAppCreated(
        workspace_id=WORKSPACE,
        name=app_id,
        token_lifetime=DAY,
        scopes=(Scope.TRACKING_API_WRITE,),
    )
    added = KeyAdded(
        kid=key.kid,
        name="a key",
        alg=key.public.alg.value,
        pem=respelled(key.public.pem, number),
    )
    await registry.log.append(AppendGroup(events=[(stream, created), (stream, added)]))


def respelled(pem: str, number: int) -> str:
    """The same key as another text, so that the issuer takes it for another key.

    As many keys of their own would take minutes to make. Blanks at the ends of the
    lines are the digits of `number`.
    """
    first, *lines = pem.splitlines()
    spelled = [first]
    for line in lines:
        number, blanks = divmod(number, _BLANKS)
        spelled.append(line + blanks * " ")
    if number:
        raise ValueError("there are not so many spellings")
    return "\n".join([*spelled, ""])


class SpentAssertions:
    """The table of spent assertions, written to as its owner."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._made = 0

    async def add(self, count: int, *, good_for: timedelta) -> None:
        """As if `count` had been used, each by an app of its own."""
        await self._connection.execute(
            "INSERT INTO issuance.spent_jtis (client_id, jti, expires_at)"
            " SELECT 'app_' || md5(number::text), 'jti-' || md5(number::text),"
            " clock_timestamp() + $3::interval"
            " FROM generate_series($1::bigint + 1, $1::bigint + $2::bigint) AS number",
            self._made,
            count,
            good_for,
        )
        self._made += count

    async def prune(self) -> int:
        """As the issuer does now and then; how many were forgotten."""
        return int(
            await self._connection.fetchval("SELECT issuance.prune_spent_jtis()")
        )


@asynccontextmanager
async def open_spent_assertions(owner_url: str) -> AsyncIterator[SpentAssertions]:
    connection = await connect(owner_url, application_name="bench")
    try:
        yield SpentAssertions(connection)
    finally:
        await connection.close()
