"""What can happen in a workspace: the registry log, owned by the app-registry.

The stream names the thing, so no event repeats its own id. A connection between a
source and an app is recorded on both streams in one append, so that each of them can
be decided from its own history.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from tollgate.events.recorded import Event, EventDecoder


class Role(StrEnum):
    """What a member may be granted (DESIGN 5)."""

    WORKSPACE_OWNER = "workspace_owner"
    WORKSPACE_MEMBER = "workspace_member"
    SOURCE_ADMIN = "source_admin"
    SOURCE_READ_ONLY = "source_read_only"
    FUNCTION_ADMIN = "function_admin"
    FUNCTION_READ_ONLY = "function_read_only"


class Enforcement(StrEnum):
    """Whether a source insists on OAuth: not at all, in the counters only, or truly."""

    OFF = "off"
    REPORT = "report"
    ENFORCE = "enforce"


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role, for the sources listed or for all of them (`sources` is null)."""

    role: Role
    sources: tuple[str, ...] | None = None


# --- workspace-<id> ---


class WorkspaceCreated(Event, frozen=True, kw_only=True, tag="workspace.created"):
    name: str


# --- member-<id> ---


class MemberAdded(Event, frozen=True, kw_only=True, tag="member.added"):
    workspace_id: str
    name: str
    email: str
    grants: tuple[Grant, ...]


class MemberRolesChanged(Event, frozen=True, kw_only=True, tag="member.roles_changed"):
    grants: tuple[Grant, ...]


class MemberRemoved(Event, frozen=True, kw_only=True, tag="member.removed"):
    pass


# --- access_token-<id> ---


class AccessTokenIssued(Event, frozen=True, kw_only=True, tag="access_token.issued"):
    """An administrator's own token. `secret_hash` is SHA-256 of the secret, in hex."""

    workspace_id: str
    member_id: str
    name: str
    secret_hash: str
    expires_at: datetime | None = None


class AccessTokenUsed(
    Event,
    frozen=True,
    kw_only=True,
    tag="access_token.used",
):
    """The token was used on that UTC day; recorded once a day at most."""

    must_understand: bool = False
    day: date


class AccessTokenRevoked(Event, frozen=True, kw_only=True, tag="access_token.revoked"):
    pass


# --- source-<id> ---


class SourceCreated(Event, frozen=True, kw_only=True, tag="source.created"):
    """`source_type` is a slug of the catalog (`tollgate.registry.source_types`)."""

    workspace_id: str
    name: str
    source_type: str


class SourceRenamed(Event, frozen=True, kw_only=True, tag="source.renamed"):
    name: str


class SourceDeleted(Event, frozen=True, kw_only=True, tag="source.deleted"):
    """Its write keys stay known, and are refused."""


class WriteKeyAdded(Event, frozen=True, kw_only=True, tag="source.write_key_added"):
    write_key: str


class WriteKeyDeleted(Event, frozen=True, kw_only=True, tag="source.write_key_deleted"):
    write_key: str


class OAuthAppConnected(
    Event, frozen=True, kw_only=True, tag="source.oauth_app_connected"
):
    app_id: str


class OAuthAppDisconnected(
    Event, frozen=True, kw_only=True, tag="source.oauth_app_disconnected"
):
    app_id: str


class EnforcementChanged(
    Event, frozen=True, kw_only=True, tag="source.enforcement_changed"
):
    mode: Enforcement


# --- write_key-<sha256> ---


class WriteKeyClaimed(Event, frozen=True, kw_only=True, tag="write_key.claimed"):
    """The key belongs to this source for good: no key is ever used for a second."""

    source_id: str


# --- oauth_app-<id> ---


class OAuthAppCreated(Event, frozen=True, kw_only=True, tag="oauth_app.created"):
    """`token_lifetime` is in seconds."""

    workspace_id: str
    name: str
    token_lifetime: int
    scopes: tuple[str, ...]


class OAuthAppRenamed(Event, frozen=True, kw_only=True, tag="oauth_app.renamed"):
    name: str


class TokenLifetimeChanged(
    Event, frozen=True, kw_only=True, tag="oauth_app.token_lifetime_changed"
):
    """`token_lifetime` is in seconds. No live token changes."""

    token_lifetime: int


class ScopesChanged(Event, frozen=True, kw_only=True, tag="oauth_app.scopes_changed"):
    scopes: tuple[str, ...]


class KeyAdded(Event, frozen=True, kw_only=True, tag="oauth_app.key_added"):
    """`kid` is the RFC 7638 thumbprint, `pem` the SPKI form, `alg` the only one."""

    kid: str
    name: str
    alg: str
    pem: str


class KeyDeleted(Event, frozen=True, kw_only=True, tag="oauth_app.key_deleted"):
    """`keep_tokens` leaves the tokens minted with the key alive until they expire."""

    kid: str
    keep_tokens: bool = False


class SourceConnected(
    Event, frozen=True, kw_only=True, tag="oauth_app.source_connected"
):
    source_id: str


class SourceDisconnected(
    Event, frozen=True, kw_only=True, tag="oauth_app.source_disconnected"
):
    source_id: str


class OAuthAppDeleted(Event, frozen=True, kw_only=True, tag="oauth_app.deleted"):
    pass


WorkspaceEvent: TypeAlias = WorkspaceCreated
MemberEvent: TypeAlias = MemberAdded | MemberRolesChanged | MemberRemoved
AccessTokenEvent: TypeAlias = AccessTokenIssued | AccessTokenUsed | AccessTokenRevoked
SourceEvent: TypeAlias = (
    SourceCreated
    | SourceRenamed
    | SourceDeleted
    | WriteKeyAdded
    | WriteKeyDeleted
    | OAuthAppConnected
    | OAuthAppDisconnected
    | EnforcementChanged
)
OAuthAppEvent: TypeAlias = (
    OAuthAppCreated
    | OAuthAppRenamed
    | TokenLifetimeChanged
    | ScopesChanged
    | KeyAdded
    | KeyDeleted
    | SourceConnected
    | SourceDisconnected
    | OAuthAppDeleted
)
RegistryEvent: TypeAlias = (
    WorkspaceEvent
    | MemberEvent
    | AccessTokenEvent
    | SourceEvent
    | WriteKeyClaimed
    | OAuthAppEvent
)

REGISTRY_EVENTS: tuple[type[Event], ...] = (
    WorkspaceCreated,
    MemberAdded,
    MemberRolesChanged,
    MemberRemoved,
    AccessTokenIssued,
    AccessTokenUsed,
    AccessTokenRevoked,
    SourceCreated,
    SourceRenamed,
    SourceDeleted,
    WriteKeyAdded,
    WriteKeyDeleted,
    OAuthAppConnected,
    OAuthAppDisconnected,
    EnforcementChanged,
    WriteKeyClaimed,
    OAuthAppCreated,
    OAuthAppRenamed,
    TokenLifetimeChanged,
    ScopesChanged,
    KeyAdded,
    KeyDeleted,
    SourceConnected,
    SourceDisconnected,
    OAuthAppDeleted,
)

WITHHELD_CATEGORIES = frozenset({"member", "access_token"})
"""What only the services that authorise administrators may read (DESIGN 4)."""

registry_decoder = EventDecoder(REGISTRY_EVENTS)
