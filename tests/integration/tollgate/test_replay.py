"""The quick way to fold a log ends where the strict way does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tollgate.database import COMMAND_TIMEOUT, Connection, open_pool
from tollgate.eventlog import AppendGroup, EventLog, open_event_log, replay
from tollgate.eventlog.replay import Replayable
from tollgate.events import Event, UnreadableEvent
from tollgate.events.registry import (
    AccessTokenIssued,
    AccessTokenRevoked,
    AccessTokenUsed,
    Enforcement,
    EnforcementChanged,
    Grant,
    KeyAdded,
    KeyDeleted,
    MemberAdded,
    MemberRemoved,
    MemberRolesChanged,
    OAuthAppConnected,
    OAuthAppCreated,
    OAuthAppDeleted,
    OAuthAppDisconnected,
    OAuthAppRenamed,
    Role,
    ScopesChanged,
    SourceConnected,
    SourceCreated,
    SourceDeleted,
    SourceDisconnected,
    SourceRenamed,
    TokenLifetimeChanged,
    WorkspaceCreated,
    WriteKeyAdded,
    WriteKeyClaimed,
    WriteKeyDeleted,
)
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    SigningKeyActivated,
    SigningKeyAnnounced,
    SigningKeyCompromised,
    SigningKeyRetired,
    TokenRevoked,
)
from tollgate.registry.state import RegistryState
from tollgate.tokens.state import TokensState

NOW = datetime(2126, 1, 1, tzinfo=UTC)
TEXTS = ["x", 'é "quoted" \\ \u2028', "two\nlines\tand \x01\x02", "\U0001f511", ""]


@pytest.fixture
async def tokens(database_url: str) -> AsyncIterator[EventLog]:
    async with (
        open_pool(database_url, application_name="test", max_size=1) as pool,
        open_event_log("tokens", pool, database_url) as opened,
    ):
        yield opened


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a log of some hundred events takes several blocks and chunks."""
    monkeypatch.setattr(replay, "BLOCK", 4096)
    monkeypatch.setattr(replay, "CHUNK", 150)


def registry_fact(rng: Random) -> tuple[str, Event]:
    number = rng.randrange(4)
    text, key = rng.choice(TEXTS), f"key-{rng.randrange(6)}"
    grants = (Grant(role=Role.SOURCE_ADMIN, sources=(f"src_{number}",)),)
    app, source = f"app_{number}", f"src_{rng.randrange(4)}"
    category, fact = rng.choice(
        [
            ("workspace", WorkspaceCreated(name=text)),
            (
                "member",
                MemberAdded(workspace_id="ws", name=text, email="e", grants=grants),
            ),
            ("member", MemberRolesChanged(grants=grants)),
            ("member", MemberRemoved()),
            (
                "access_token",
                AccessTokenIssued(
                    workspace_id="ws", member_id="m", name=text, secret_hash="h"
                ),
            ),
            ("access_token", AccessTokenUsed(day=NOW.date())),
            ("access_token", AccessTokenRevoked()),
            (
                "source",
                SourceCreated(workspace_id="ws", name=text, source_type="python"),
            ),
            ("source", SourceRenamed(name=text)),
            ("source", SourceDeleted()),
            ("source", WriteKeyAdded(write_key=key)),
            ("source", WriteKeyDeleted(write_key=key)),
            ("source", OAuthAppConnected(app_id=app)),
            ("source", OAuthAppDisconnected(app_id=app)),
            ("source", EnforcementChanged(mode=rng.choice(list(Enforcement)))),
            ("write_key", WriteKeyClaimed(source_id=source)),
            (
                "oauth_app",
                OAuthAppCreated(
                    workspace_id="ws", name=text, token_lifetime=1, scopes=("a", "b")
                ),
            ),
            ("oauth_app", OAuthAppRenamed(name=text)),
            ("oauth_app", TokenLifetimeChanged(token_lifetime=rng.randrange(9))),
            ("oauth_app", ScopesChanged(scopes=("a",))),
            ("oauth_app", KeyAdded(kid=key, name=text, alg="RS256", pem="P\nE\nM")),
            ("oauth_app", KeyDeleted(kid=key, keep_tokens=rng.random() < 0.5)),
            ("oauth_app", SourceConnected(source_id=source)),
            ("oauth_app", SourceDisconnected(source_id=source)),
            ("oauth_app", OAuthAppDeleted()),
        ]
    )
    return f"{category}-{number}", fact


def tokens_fact(rng: Random) -> tuple[str, Event]:
    number = rng.randrange(4)
    # Some tokens have expired when they are revoked, and some are revoked again.
    expires_at = datetime.now(UTC) + timedelta(minutes=rng.choice([-60, -30, 60]))
    category, fact = rng.choice(
        [
            (
                "oauth_app",
                TokenRevoked(jti=f"j{rng.randrange(50)}", expires_at=expires_at),
            ),
            ("oauth_app", AllTokensRevoked()),
            ("oauth_app", KeyTokensRevoked(kid=f"k{number}")),
            ("oauth_app", OldTokensRevoked(issued_before=expires_at)),
        ]
    )
    if rng.random() < 1 / 40:  # a block that has one of these is read again
        category, fact = (
            "signing_key",
            rng.choice(
                [
                    SigningKeyActivated(),
                    SigningKeyRetired(last_expiry=expires_at),
                    SigningKeyCompromised(),
                ]
            ),
        )
    return f"{category}-{number}", fact


async def strictly(log: EventLog, state: Replayable, to: int = 10_000) -> None:
    for recorded in await log.read_after(0, limit=to):
        state.apply(recorded)


async def insert(db: Connection, log: str, stream: str, kind: str, data: str) -> None:
    """Put a row at the end of the log as no version of ours would write it."""
    await db.execute(
        f"""
        INSERT INTO {log}.events
        SELECT
            position + 1, $1,
            (SELECT coalesce(max(version), 0) + 1 FROM {log}.events WHERE stream = $1),
            $2, $3, '{{}}', now(), hash
        FROM {log}.head
        """,  # noqa: S608
        stream,
        kind,
        data,
    )
    await db.execute(f"UPDATE {log}.head SET position = position + 1")  # noqa: S608


CLAIMED = '{"type":"write_key.claimed","source_id":"src_1"}'


@pytest.mark.parametrize("seed", range(3))
class TestAnyHistory:
    async def test_a_registry_is_the_same_both_ways(
        self, log: EventLog, seed: int
    ) -> None:
        rng = Random(seed)  # noqa: S311 - a history, not a secret
        for _ in range(10):
            facts = [registry_fact(rng) for _ in range(60)]
            await log.append(AppendGroup(events=facts))
        for to in (None, 0, 1, 151, 599):
            quick, strict = RegistryState(), RegistryState()
            reached = await log.replay(quick, to=to)
            await strictly(log, strict, reached)
            assert reached == (600 if to is None else to)
            assert quick.dump() == strict.dump()

    async def test_revocations_are_the_same_both_ways(
        self, tokens: EventLog, seed: int
    ) -> None:
        rng = Random(seed)  # noqa: S311 - a history, not a secret
        await tokens.append(
            AppendGroup(
                events=[
                    (f"signing_key-{n}", SigningKeyAnnounced(alg="ES256", pem="PEM"))
                    for n in range(4)
                ]
            )
        )
        for _ in range(20):
            facts = [tokens_fact(rng) for _ in range(30)]
            await tokens.append(AppendGroup(events=facts))
        for to in (None, 4, 5, 154, 599):
            quick, strict = TokensState(), TokensState()
            reached = await tokens.replay(quick, to=to)
            await strictly(tokens, strict, reached)
            assert quick.dump() == strict.dump()


class TestOddEvents:
    @pytest.fixture
    async def filled(self, log: EventLog) -> EventLog:
        rng = Random(7)  # noqa: S311 - a history, not a secret
        facts = [registry_fact(rng) for _ in range(200)]
        await log.append(AppendGroup(events=facts))
        return log

    async def test_an_unknown_event_that_need_not_be_understood_is_passed_over(
        self, filled: EventLog, db: Connection
    ) -> None:
        data = '{"type":"source.starred","must_understand":false}'
        await insert(db, "registry", "source-1", "source.starred", data)
        await filled.append(
            AppendGroup(events=[("source-1", SourceRenamed(name="after"))])
        )
        quick, strict = RegistryState(), RegistryState()
        async with asyncio.timeout(COMMAND_TIMEOUT / 2):  # without waiting for anything
            assert await filled.replay(quick) == 202
        await strictly(filled, strict)
        assert quick.sources["1"].name == "after"
        assert quick.dump() == strict.dump()

    @pytest.mark.parametrize(
        ("stream", "kind", "data"),
        [
            ("source-1", "source.starred", '{"type":"source.starred"}'),
            ("source-1", "source.renamed", '{"type":"source.renamed"}'),
            ("source-1", "oauth_app.deleted", '{"type":"oauth_app.deleted"}'),
            ("starship-1", "source.deleted", '{"type":"source.deleted"}'),
            ("source-1", "write_key.claimed", CLAIMED),
            ("write_keys-1", "write_key.claimed", CLAIMED),
            ("write_key-1", "source.deleted", '{"type":"source.deleted"}'),
        ],
        ids=[
            "unknown",
            "incomplete",
            "of another kind",
            "unknown kind of stream",
            "a claim on a source",
            "a claim on an unknown kind of stream",
            "another kind than a claim",
        ],
    )
    async def test_an_event_that_cannot_be_folded_stops_it_where_it_is(
        self, filled: EventLog, db: Connection, stream: str, kind: str, data: str
    ) -> None:
        await insert(db, "registry", stream, kind, data)
        with pytest.raises(UnreadableEvent, match="event 201 "):
            await filled.replay(RegistryState())
        with pytest.raises(UnreadableEvent, match="event 201 "):
            await strictly(filled, RegistryState())

    @pytest.mark.parametrize(
        "name",
        [
            "source-\\u0031",
            'source-1",{"type":"source.deleted"}]\n[1,"source-2',
            'source-1",{"type":"source.deleted"},"',
            "source-1\t",
            "source-\x011",
            "source-\x7f\u2028é",
        ],
    )
    async def test_the_name_of_a_stream_is_taken_as_it_is(
        self, filled: EventLog, db: Connection, name: str
    ) -> None:
        data = '{"type":"source.renamed","name":"odd"}'
        await insert(db, "registry", name, "source.renamed", data)
        quick, strict = RegistryState(), RegistryState()
        await filled.replay(quick)
        await strictly(filled, strict)
        assert quick.sources[name.removeprefix("source-")].name == "odd"
        assert quick.dump() == strict.dump()

    async def test_white_space_in_data_is_no_end_of_a_line(
        self, filled: EventLog, db: Connection
    ) -> None:
        data = '{"type":\n"source.renamed",\t"name" : "odd"}'
        await insert(db, "registry", "source-9", "source.renamed", data)
        state = RegistryState()
        await filled.replay(state)
        assert state.sources["9"].name == "odd"

    @pytest.mark.parametrize("position", [1, 100, 150, 151, 200])
    async def test_a_hole_is_not_passed_over(
        self, filled: EventLog, db: Connection, position: int
    ) -> None:
        await db.execute("ALTER TABLE registry.events DISABLE TRIGGER USER")
        await db.execute("DELETE FROM registry.events WHERE position = $1", position)
        with pytest.raises(UnreadableEvent, match="is missing"):
            await filled.replay(RegistryState())

    async def test_an_end_that_is_missing_is_told(
        self, tokens: EventLog, db: Connection
    ) -> None:
        fact = SigningKeyAnnounced(alg="ES256", pem="PEM")
        await tokens.append(AppendGroup(events=[("signing_key-1", fact)] * 3))
        await db.execute("ALTER TABLE tokens.events DISABLE TRIGGER USER")
        await db.execute("DELETE FROM tokens.events WHERE position = 3")
        with pytest.raises(UnreadableEvent, match="event 3 is missing"):
            await tokens.replay(TokensState())

    async def test_a_hole_before_an_odd_event_is_not_passed_over(
        self, filled: EventLog, db: Connection
    ) -> None:
        data = '{"type":"source.starred","must_understand":false}'
        await insert(db, "registry", "source-1", "source.starred", data)
        await db.execute("ALTER TABLE registry.events DISABLE TRIGGER USER")
        await db.execute("DELETE FROM registry.events WHERE position = 200")
        with pytest.raises(UnreadableEvent, match="is missing"):
            await filled.replay(RegistryState())
