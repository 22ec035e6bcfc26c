"""`python -m token_issuer …`, as an operator and a supervisor run it."""

import asyncio
import base64
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from local_stack.databases import Database
from local_stack.ports import free_ports
from token_issuer.testing.issuer import IssuerUnderTest
from token_issuer.testing.registry import RegistryStandIn, registry_stand_in
from tollgate.oauth.jws import decode
from tollgate.testing.waiting import until

DEADLINE = 30.0


@pytest.fixture
async def registry(database: Database) -> AsyncIterator[RegistryStandIn]:
    """Beside a database that nobody has migrated yet."""
    async with registry_stand_in(database.owner_url) as registry:
        yield registry


@pytest.fixture
def environment(
    database: Database, registry: RegistryStandIn, key_encryption_key: bytes
) -> dict[str, str]:
    (port,) = free_ports(1)
    settings = {
        "ISSUER": f"http://127.0.0.1:{port}",
        "PORT": str(port),
        "DATABASE_URL": database.service_url,
        "OWNER_DATABASE_URL": database.owner_url,
        "AMQP_URL": "amqp://nobody@127.0.0.1:1/",
        "REGISTRY_URL": registry.url,
        "REGISTRY_FEED_SECRET": registry.secret.reveal(),
        "KEY_ENCRYPTION_KEYS": base64.b64encode(key_encryption_key).decode(),
    }
    return {f"TOKEN_ISSUER_{name}": value for name, value in settings.items()}


async def start(environment: dict[str, str], *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "token_issuer",
        *arguments,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=PIPE,
        stderr=PIPE,
    )


async def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command and what it said on stderr."""
    process = await start(environment, *arguments)
    async with asyncio.timeout(DEADLINE):
        _, said = await process.communicate()
    return process.returncode or 0, said.decode()


@asynccontextmanager
async def served(
    environment: dict[str, str],
) -> AsyncIterator[tuple[IssuerUnderTest, Process]]:
    """The service as a process of its own, ready; killed if it is still there."""
    process = await start(environment, "serve")
    url = environment["TOKEN_ISSUER_ISSUER"]
    try:
        async with aiohttp.ClientSession() as session:
            issuer = IssuerUnderTest(url, url, session)

            async def answered() -> bool:
                assert process.returncode is None, await process.communicate()
                return await answers(issuer)

            await until(answered)
            await issuer.until_ready()
            yield issuer, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def answers(issuer: IssuerUnderTest) -> bool:
    try:
        return (await issuer.get("/livez")).status == 200
    except aiohttp.ClientError:
        return False


@pytest.fixture
async def migrated(environment: dict[str, str]) -> dict[str, str]:
    assert await run(environment, "migrate") == (0, "")
    return environment


async def test_migrate_makes_what_serve_needs_which_ends_when_it_is_told_to(
    environment: dict[str, str], registry: RegistryStandIn
) -> None:
    for _ in range(2):
        assert await run(environment, "migrate") == (0, "")

    app = await registry.add_app()
    async with served(environment) as (issuer, process):
        assert (await issuer.ask_for_token(app)).status == 200
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            assert await process.wait() == 0


async def test_migrate_needs_the_owner(environment: dict[str, str]) -> None:
    del environment["TOKEN_ISSUER_OWNER_DATABASE_URL"]

    code, said = await run(environment, "migrate")

    assert code == 1
    assert said.strip() == "TOKEN_ISSUER_OWNER_DATABASE_URL is not set"


@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_wrong_settings_end_it_with_one_line_that_names_them(
    environment: dict[str, str], command: str
) -> None:
    environment["TOKEN_ISSUER_PORT"] = "many"
    environment["TOKEN_ISSUER_KEY_ENCRYPTION_KEY"] = "misspelt"

    code, said = await run(environment, command)

    assert code == 1
    assert len(said.strip().splitlines()) == 1
    assert "TOKEN_ISSUER_PORT" in said
    assert "TOKEN_ISSUER_KEY_ENCRYPTION_KEYS" in said


async def test_an_unreachable_database_ends_migrate_with_one_line(
    environment: dict[str, str],
) -> None:
    environment["TOKEN_ISSUER_OWNER_DATABASE_URL"] = "postgresql://x:pw@127.0.0.1:1/x"

    code, said = await run(environment, "migrate")

    assert code == 1
    assert len(said.strip().splitlines()) == 1
    assert "pw" not in said


async def test_a_killed_process_takes_nothing_with_it(
    migrated: dict[str, str], registry: RegistryStandIn
) -> None:
    """What was answered is in the log: the token, its revocation, the assertion."""
    app = await registry.add_app()
    async with served(migrated) as (issuer, process):
        kept, ended = await issuer.token_of(app), await issuer.token_of(app)
        form = issuer.token_form(app)
        assert (await issuer.post_form("/token", form)).status == 200
        assert (await issuer.revoke(app, ended)).status == 200
        process.kill()
        await process.wait()

    async with served(migrated) as (issuer, _):
        assert (await issuer.post_form("/token", form)).status == 401
        assert (await issuer.introspect(app, ended)).json == {"active": False}
        assert (await issuer.introspect(app, kept)).json["active"] is True
        again = await issuer.token_of(app)
        assert decode(again).header.kid == decode(kept).header.kid


class TestSigningKeys:
    async def test_rotation(
        self, migrated: dict[str, str], registry: RegistryStandIn
    ) -> None:
        """Old tokens live on: their key is published as long as they do."""
        app = await registry.add_app()
        environment = {**migrated, "TOKEN_ISSUER_MAX_AGE": "3s"}
        async with served(environment) as (issuer, _):
            token = await issuer.token_of(app)
            old = decode(token).header.kid

            async def rotated() -> bool:
                return await run(environment, "rotate-signing-key") == (0, "")

            async def replaced() -> bool:
                return decode(await issuer.token_of(app)).header.kid != old

            await until(rotated)
            await until(replaced)
            assert (await issuer.introspect(app, token)).json["active"] is True
            keys = (await issuer.get("/.well-known/jwks.json")).json["keys"]
            assert old in {key["kid"] for key in keys}

    async def test_compromise(
        self, migrated: dict[str, str], registry: RegistryStandIn
    ) -> None:
        app = await registry.add_app()
        async with served(migrated) as (issuer, _):
            token = await issuer.token_of(app)
            kid = str(decode(token).header.kid)

            # One kid in 64 begins with a hyphen, and is a kid all the same.
            misspelt = await run(migrated, "compromise-signing-key", f"-{kid}")
            too_soon = await run(migrated, "rotate-signing-key")
            assert (await issuer.introspect(app, token)).json["active"] is True
            done = await run(migrated, "compromise-signing-key", kid)

            assert misspelt == (1, "there is no such key\n")
            assert too_soon[0] == 1
            assert too_soon[1].startswith("the announced key may sign from ")
            assert done == (0, "")
            assert (await issuer.introspect(app, token)).json == {"active": False}
