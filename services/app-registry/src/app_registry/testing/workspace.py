"""A workspace to tell stories in, and `given` for its rules."""

from collections.abc import Sequence
from datetime import datetime

from app_registry.domain.authorization import AppCaller, Caller, MemberCaller
from app_registry.domain.commands import Command, NewKey
from app_registry.domain.decide import decide
from app_registry.domain.evidence import Evidence
from tollgate.events import Event, RecordedEvent
from tollgate.events.registry import (
    AccessTokenIssued,
    Grant,
    KeyAdded,
    MemberAdded,
    OAuthAppConnected,
    OAuthAppCreated,
    Role,
    SourceConnected,
    SourceCreated,
    WorkspaceCreated,
)
from tollgate.registry.source_types import SOURCE_TYPES
from tollgate.registry.state import RegistryState
from tollgate.testing.scenario import RECORDED_AT, Fact, Facts, on, scenarios_of

NOW = RECORDED_AT


def owner(member_id: str) -> list[Fact]:
    return someone(member_id, Grant(role=Role.WORKSPACE_OWNER))


def someone(member_id: str, *grants: Grant, workspace_id: str = "ws_1") -> list[Fact]:
    """A member with these roles, and their access token `<member id>_token`."""
    added = MemberAdded(
        workspace_id=workspace_id,
        name=member_id,
        email=f"{member_id}@example.com",
        grants=grants,
    )
    issued = AccessTokenIssued(
        workspace_id=workspace_id, member_id=member_id, name="laptop", secret_hash="00"
    )
    return [
        (f"member-{member_id}", added),
        (f"access_token-{member_id}_token", issued),
    ]


def by(member_id: str) -> MemberCaller:
    return MemberCaller(member_id=member_id, access_token_id=f"{member_id}_token")


def app(
    app_id: str,
    *later: Event,
    scopes: tuple[str, ...] = ("tracking_api:write",),
    workspace_id: str = "ws_1",
) -> list[Fact]:
    """An app with the key `old`."""
    created = OAuthAppCreated(
        workspace_id=workspace_id, name=app_id, token_lifetime=86400, scopes=scopes
    )
    return on(f"oauth_app-{app_id}", created, key_added("old"), *later)


def key(kid: str) -> NewKey:
    return NewKey(kid=kid, name=f"key {kid}", alg="RS256", pem=f"PEM of {kid}")


def key_added(kid: str) -> KeyAdded:
    return KeyAdded(kid=kid, name=f"key {kid}", alg="RS256", pem=f"PEM of {kid}")


def source(
    source_id: str,
    *later: Event,
    source_type: str = "python",
    workspace_id: str = "ws_1",
) -> list[Fact]:
    created = SourceCreated(
        workspace_id=workspace_id, name=source_id, source_type=source_type
    )
    return on(f"source-{source_id}", created, *later)


def connected(source_id: str, app_id: str) -> list[Fact]:
    return [
        (f"source-{source_id}", OAuthAppConnected(app_id=app_id)),
        (f"oauth_app-{app_id}", SourceConnected(source_id=source_id)),
    ]


FOUNDED: Facts = [
    *on("workspace-ws_1", WorkspaceCreated(name="Acme")),
    *owner("olga"),
]
"""A workspace with its first owner."""

STRANGERS: Facts = [
    *on("workspace-ws_2", WorkspaceCreated(name="Strangers")),
    *someone("stan", Grant(role=Role.WORKSPACE_OWNER), workspace_id="ws_2"),
    *app("app_theirs", workspace_id="ws_2"),
    *source("src_theirs", workspace_id="ws_2"),
]
"""Another workspace of the same deployment."""


def state_of(history: Sequence[RecordedEvent]) -> RegistryState:
    state = RegistryState()
    for recorded in history:
        state.apply(recorded)
    return state


def _decide(
    history: Sequence[RecordedEvent],
    command: Command,
    *,
    by: Caller | None = None,
    now: datetime = NOW,
) -> Facts:
    return decide(
        command,
        Evidence(state_of(history)),
        caller=by or MemberCaller(member_id="olga", access_token_id="olga_token"),
        now=now,
        types=SOURCE_TYPES,
    )


given = scenarios_of(_decide)
"""`given(FOUNDED, …).when(command, by=caller).then(…)`; without `by` the owner asks."""

AN_APP = AppCaller(app_id="app_admin")
"""It may call the admin API, made by `app("app_admin", scopes=PUBLIC_API)`."""

PUBLIC_API = ("public_api:read_write",)
