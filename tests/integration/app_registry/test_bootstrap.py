"""What an operator does by hand."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from app_registry.bootstrap import NewOwner, OwnerRequest, WorkspaceExists, create_owner
from app_registry.domain.errors import UnacceptableName
from local_stack.databases import Database
from tollgate.eventlog import EventLog
from tollgate.events import EventMetadata
from tollgate.migrations import event_log_migrations
from tollgate.registry.administrators import authenticate
from tollgate.registry.state import RegistryState
from tollgate.settings import Secret

NOW = datetime.now(UTC)

olga = OwnerRequest(
    workspace="Acme", name="Olga", email="olga@example.com", token_name="first"
)


async def state_of(log: EventLog) -> RegistryState:
    state = RegistryState()
    for recorded in await log.read_after(0, limit=100):
        state.apply(recorded)
    return state


async def test_a_first_owner_can_prove_who_they_are(
    registry_database: Database, log: EventLog
) -> None:
    made = await create_owner(Secret(registry_database.service_url), olga, NOW)
    administrator = authenticate(await state_of(log), made.access_token, NOW)
    assert administrator is not None
    assert administrator.member.id == made.member_id
    assert administrator.member.is_owner
    assert administrator.member.workspace_id == made.workspace_id


async def test_a_workspace_that_is_there_is_left_alone(
    registry_database: Database, log: EventLog
) -> None:
    url = Secret(registry_database.service_url)
    first = await create_owner(url, olga, NOW)
    with pytest.raises(WorkspaceExists, match=first.workspace_id):
        await create_owner(url, olga, NOW)
    assert (await log.head()).position == 3

    adding = msgspec.structs.replace(olga, add=True, email="pia@example.com")
    second = await create_owner(url, adding, NOW)
    assert second.workspace_id == first.workspace_id
    assert second.member_id != first.member_id
    other = msgspec.structs.replace(olga, workspace="Other", add=True)
    assert (await create_owner(url, other, NOW)).workspace_id != first.workspace_id


async def test_nothing_is_recorded_of_what_is_refused(
    registry_database: Database, log: EventLog
) -> None:
    bad = msgspec.structs.replace(olga, name="Ol\0ga")
    with pytest.raises(UnacceptableName):
        await create_owner(Secret(registry_database.service_url), bad, NOW)
    assert (await log.head()).position == 0


async def test_the_token_is_not_in_the_log(
    registry_database: Database, log: EventLog
) -> None:
    made = await create_owner(Secret(registry_database.service_url), olga, NOW)
    secret = made.access_token[-43:].encode()
    for recorded in await log.read_after(0, limit=100):
        assert secret not in bytes(recorded.data)
        assert secret not in bytes(recorded.metadata)
        metadata = msgspec.json.decode(recorded.metadata, type=EventMetadata)
        assert metadata.actor == "system"


class TestTheCommandLine:
    """As the launcher calls it."""

    @staticmethod
    def run(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "APP_REGISTRY_DATABASE_URL": database.service_url,
            "APP_REGISTRY_OWNER_DATABASE_URL": database.owner_url,
            "APP_REGISTRY_AMQP_URL": "amqp://unused",
            "APP_REGISTRY_ISSUER_URL": "http://127.0.0.1:1",
            "APP_REGISTRY_ISSUER_FEED_SECRET": "not used in this test",
        }
        return subprocess.run(
            [sys.executable, "-m", "app_registry", *arguments],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    async def test_migrates_and_makes_the_first_owner(self, database: Database) -> None:
        count = len(event_log_migrations())
        assert self.run(database, "migrate").stdout == f"{count} migrations applied\n"
        assert self.run(database, "migrate").stdout == "0 migrations applied\n"
        arguments = ["create-owner", "--workspace", "Acme"]
        arguments += ["--name", "Olga", "--email", "olga@example.com"]

        done = self.run(database, *arguments, "--expires-in", "1")
        made = msgspec.json.decode(done.stdout, type=NewOwner)
        assert made.access_token.startswith("tg_")

        again = self.run(database, *arguments)
        assert again.returncode == 1
        assert again.stdout == ""
        assert again.stderr.startswith("nothing was recorded: there is a workspace")

    async def test_says_in_one_line_what_is_missing(self, database: Database) -> None:
        arguments = ["create-owner", "--workspace", "Acme"]
        arguments += ["--name", "Olga", "--email", "olga@example.com"]
        done = self.run(database, *arguments)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1


async def test_a_token_may_be_for_a_while(
    registry_database: Database, log: EventLog
) -> None:
    short = msgspec.structs.replace(olga, expires_at=NOW + timedelta(days=1))
    made = await create_owner(Secret(registry_database.service_url), short, NOW)
    state = await state_of(log)
    assert authenticate(state, made.access_token, NOW + timedelta(hours=23))
    assert authenticate(state, made.access_token, NOW + timedelta(hours=25)) is None
