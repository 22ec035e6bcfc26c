"""`tollgate audit` on real logs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest
from click.testing import CliRunner, Result

from tollgate.cli import main
from tollgate.cli.audit import DAMAGED
from tollgate.database import Connection
from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events.registry import (
    AccessTokenIssued,
    Enforcement,
    EnforcementChanged,
    Grant,
    KeyAdded,
    MemberAdded,
    OAuthAppConnected,
    OAuthAppCreated,
    Role,
    SourceConnected,
    SourceCreated,
    SourceDeleted,
    WorkspaceCreated,
    WriteKeyAdded,
)

STORY = [
    ("workspace-ws_1", WorkspaceCreated(name="Acme")),
    (
        "member-mem_1",
        MemberAdded(
            workspace_id="ws_1",
            name="Ada",
            email="ada@example.com",
            grants=(Grant(role=Role.WORKSPACE_OWNER),),
        ),
    ),
    (
        "access_token-t1",
        AccessTokenIssued(
            workspace_id="ws_1", member_id="mem_1", name="laptop", secret_hash="5ec2e7"
        ),
    ),
    (
        "source-src_1",
        SourceCreated(workspace_id="ws_1", name="Checkout", source_type="python"),
    ),
    ("source-src_1", WriteKeyAdded(write_key="write-key-1234")),
    (
        "oauth_app-app_1",
        OAuthAppCreated(
            workspace_id="ws_1",
            name="Web",
            token_lifetime=86400,
            scopes=("tracking_api:write",),
        ),
    ),
    ("oauth_app-app_1", KeyAdded(kid="k1", name="first", alg="RS256", pem="PEM")),
    ("source-src_1", OAuthAppConnected(app_id="app_1")),
    ("oauth_app-app_1", SourceConnected(source_id="src_1")),
    ("source-src_1", EnforcementChanged(mode=Enforcement.ENFORCE)),
]

Tollgate = Callable[..., Awaitable[Result]]


@pytest.fixture
def tollgate(database_url: str) -> Tollgate:
    """Runs the command in a thread, since it brings an event loop of its own."""
    environment = {
        "TOLLGATE_REGISTRY_DATABASE_URL": database_url,
        "TOLLGATE_ISSUER_DATABASE_URL": database_url,
    }

    async def run(*arguments: str) -> Result:
        runner = CliRunner(env=environment)
        return await asyncio.to_thread(runner.invoke, main, arguments)

    return run


@pytest.fixture
async def story(log: EventLog) -> EventLog:
    for stream, fact in STORY:
        await log.append(AppendGroup(events=[(stream, fact)]))
    return log


class TestState:
    async def test_the_workspace_as_it_is(
        self, story: EventLog, tollgate: Tollgate
    ) -> None:
        result = await tollgate("audit", "state", "--at", str(len(STORY)))
        assert result.exit_code == 0
        (workspace,) = msgspec.json.decode(result.stdout)["workspaces"]
        assert workspace["name"] == "Acme"
        assert [each["email"] for each in workspace["members"]] == ["ada@example.com"]
        (source,) = workspace["sources"]
        assert source["oauth_app"] == "app_1"
        assert source["enforcement"] == "enforce"
        assert source["write_keys"] == ["…1234"]
        (app,) = workspace["oauth_apps"]
        assert [key["kid"] for key in app["keys"]] == ["k1"]
        assert "5ec2e7" not in result.stdout

    async def test_the_workspace_as_it_was_at_a_position(
        self, story: EventLog, tollgate: Tollgate
    ) -> None:
        result = await tollgate("audit", "state", "--at", "7")
        (workspace,) = msgspec.json.decode(result.stdout)["workspaces"]
        assert workspace["sources"][0]["oauth_app"] is None
        assert workspace["sources"][0]["enforcement"] == "off"

    async def test_the_workspace_as_it_was_at_a_time(
        self, story: EventLog, tollgate: Tollgate
    ) -> None:
        before = (await story.load("source-src_1"))[0].recorded_at
        await story.append(AppendGroup(events=[("source-src_1", SourceDeleted())]))
        at = (before - timedelta(microseconds=1)).isoformat()
        result = await tollgate("audit", "state", "--at", at)
        state = msgspec.json.decode(result.stdout)
        assert state["position"] == 3
        assert state["workspaces"][0]["sources"] == []

    async def test_an_empty_log_is_an_empty_state(
        self, log: EventLog, tollgate: Tollgate
    ) -> None:
        result = await tollgate("audit", "state", "--at", "2026-01-01")
        assert msgspec.json.decode(result.stdout)["workspaces"] == []

    @pytest.mark.parametrize(
        ("at", "complaint"),
        [
            ("yesterday", "neither a position nor a time"),
            ("99", "the log ends at position 10"),
        ],
    )
    async def test_a_place_that_is_none_is_said_so(
        self, story: EventLog, tollgate: Tollgate, at: str, complaint: str
    ) -> None:
        result = await tollgate("audit", "state", "--at", at)
        assert result.exit_code != 0
        assert complaint in result.stderr


class TestVerify:
    async def test_an_untouched_log_passes_and_its_head_is_shown(
        self, story: EventLog, tollgate: Tollgate
    ) -> None:
        result = await tollgate("audit", "verify", "registry", "issuance")
        head = await story.head()
        assert result.exit_code == 0
        assert f"registry: 10 events verified, head {head.hash.hex()}" in result.stdout
        assert "issuance: 0 events verified" in result.stdout

    async def test_a_changed_byte_is_named_and_fails(
        self, story: EventLog, db: Connection, tollgate: Tollgate
    ) -> None:
        await db.execute("ALTER TABLE registry.events DISABLE TRIGGER USER")
        await db.execute(
            'UPDATE registry.events SET metadata = \'{"actor":"eve"}\''
            " WHERE position = 6"
        )
        result = await tollgate("audit", "verify")
        assert result.exit_code == DAMAGED
        assert "registry: DAMAGED at position 6" in result.stdout
        assert "tokens: 0 events verified" in result.stdout


async def test_a_database_that_is_not_there_is_one_line() -> None:
    runner = CliRunner(
        env={"TOLLGATE_REGISTRY_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x"}
    )
    result = await asyncio.to_thread(
        runner.invoke, main, ["audit", "state", "--at", "1"]
    )
    assert result.exit_code == 1
    assert result.stderr == "Error: the database cannot be reached or read\n"
