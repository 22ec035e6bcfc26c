"""The token-issuer as it is deployed, with a real Postgres: fsync on."""

import base64
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
)
from dataclasses import dataclass
from typing import NamedTuple

import aiohttp

from bench.logs.server import (
    a_flush,
    have_recycled_wal,
    postgres_for,
    time_flushes,
)
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import Detail
from bench.measuring.programs import Program
from bench.tokens.assertions import Endpoint
from local_stack.databases import temporary_database
from local_stack.ports import free_ports
from token_issuer.metadata import JWKS
from token_issuer.schemas import migrate_database
from token_issuer.testing.issuer import IssuerUnderTest
from token_issuer.testing.registry import RegistryStandIn, registry_stand_in
from tollgate.database import connect, open_pool
from tollgate.eventlog import EventLog, open_event_log
from tollgate.oauth.access_tokens import TokenRefusal, verify_access_token
from tollgate.oauth.jwks import parse_jwk_set

_SETTINGS = "TOKEN_ISSUER_"

_WAL_FILES = 16
"""More than a run of the case writes."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A running one: who may ask it for tokens, and where they are recorded."""

    endpoint: Endpoint
    program: Program
    log: EventLog
    client: IssuerUnderTest
    registry: RegistryStandIn
    owner_url: str  # of its database
    another: Callable[[], AbstractAsyncContextManager["_Running"]]
    """One more process of it on the same core and database."""

    async def until_registry_is_known(self) -> None:
        await self.client.until_registry_is_at(
            (await self.registry.log.head()).position
        )

    async def require_good(self, tokens: list[str]) -> None:
        """Whoever has its JWK Set can verify each of `tokens`."""
        keys = parse_jwk_set((await self.client.get(JWKS)).body)
        for token in tokens:
            verified = verify_access_token(
                token,
                keys=keys,
                issuer=self.endpoint.issuer,
                audiences={"urn:tollgate:tracking-api"},
            )
            if isinstance(verified, TokenRefusal):
                raise CannotMeasure(f"a token of ours is {verified.value}")

    async def a_flush(self) -> Detail:
        """What one takes its database, in the mean."""
        connection = await connect(self.owner_url, application_name="bench")
        try:
            return await a_flush(connection)
        finally:
            await connection.close()

    async def require_recorded(self, tokens: int) -> None:
        """The issuance log holds one event for each token that was given."""
        recorded = (await self.log.head()).position
        if recorded != tokens:
            raise CannotMeasure(f"{tokens} tokens were given, {recorded} recorded")


@asynccontextmanager
async def open_issuer(bench: Bench) -> AsyncIterator[Issuer]:
    """On the core of the program under test; its registry is a stand-in, in here."""
    (port,) = free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    with postgres_for(bench, "issuer") as postgres_url:
        connection = await connect(postgres_url, application_name="bench")
        try:
            await have_recycled_wal(connection, _WAL_FILES)
            await time_flushes(connection)
        finally:
            await connection.close()
        async with (
            temporary_database(postgres_url) as database,
            temporary_database(postgres_url) as registry_database,
            registry_stand_in(registry_database.owner_url) as registry,
            open_pool(database.service_url, application_name="bench") as pool,
            open_event_log("issuance", pool, database.service_url) as log,
            aiohttp.ClientSession() as session,
        ):
            await migrate_database(database.owner_url, database.service_url)
            app = await registry.add_app(wait=False)
            settings = {
                "ISSUER": issuer,
                "DATABASE_URL": database.service_url,
                "AMQP_URL": "amqp://nobody@127.0.0.1:1/",  # it has nothing to say here
                "REGISTRY_URL": registry.url,
                "REGISTRY_FEED_SECRET": registry.secret.reveal(),
                "KEY_ENCRYPTION_KEYS": base64.b64encode(os.urandom(32)).decode(),
                "TOKENS_PER_MINUTE": "1000000",
            }

            @asynccontextmanager
            async def run(name: str, port: int) -> AsyncIterator[_Running]:
                with _program(bench, name, port, settings) as program:
                    url = f"http://127.0.0.1:{port}"
                    client = IssuerUnderTest(issuer, url, session)
                    await client.until_ready()
                    position = (await registry.log.head()).position
                    await client.until_registry_is_at(position)
                    yield _Running(program, port, client)

            async with run("token-issuer", port) as running:
                yield Issuer(
                    Endpoint(
                        issuer=issuer,
                        port=port,
                        client_ids=(app.id,),
                        key=app.key.to_pem(),
                    ),
                    running.program,
                    log,
                    running.client,
                    registry,
                    database.owner_url,
                    lambda: run("another-token-issuer", free_ports(1)[0]),
                )


class _Running(NamedTuple):
    program: Program
    port: int
    client: IssuerUnderTest


def _program(
    bench: Bench, name: str, port: int, settings: Mapping[str, str]
) -> AbstractContextManager[Program]:
    return bench.running(
        name,
        [sys.executable, "-m", "token_issuer", "serve"],
        port=port,
        environment={
            **os.environ,
            **{f"{_SETTINGS}{each}": text for each, text in settings.items()},
            f"{_SETTINGS}PORT": str(port),
        },
        under_test=True,
    )
