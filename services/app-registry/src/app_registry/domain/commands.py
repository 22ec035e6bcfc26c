"""What can be asked of a workspace.

A command carries what cannot be derived (new ids, parsed keys, hashes), so that
deciding it is a pure function. `if_version` is the version that the client has seen
(`If-Match`); None asks for no comparison.
"""

from datetime import datetime
from typing import TypeAlias

import msgspec

from tollgate.events.registry import Enforcement, Grant


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key that was checked: see `tollgate.oauth.public_keys`."""

    kid: str
    name: str
    alg: str
    pem: str


# --- apps ---


class CreateApp(msgspec.Struct, frozen=True, kw_only=True):
    app_id: str
    name: str
    key: NewKey
    token_lifetime: int
    scopes: frozenset[str]


class EditApp(msgspec.Struct, frozen=True, kw_only=True):
    """Change what is given; None leaves it as it is."""

    app_id: str
    name: str | None = None
    token_lifetime: int | None = None
    scopes: frozenset[str] | None = None
    if_version: int | None = None


class DeleteApp(msgspec.Struct, frozen=True, kw_only=True):
    app_id: str
    confirm_name: str
    if_version: int | None = None


class AddKey(msgspec.Struct, frozen=True, kw_only=True):
    app_id: str
    key: NewKey
    if_version: int | None = None


class DeleteKey(msgspec.Struct, frozen=True, kw_only=True):
    app_id: str
    kid: str
    keep_tokens: bool = False
    if_version: int | None = None


# --- sources ---


class CreateSource(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    name: str
    source_type: str


class RenameSource(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    name: str
    if_version: int | None = None


class DeleteSource(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    if_version: int | None = None


class AddWriteKey(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    write_key: str
    if_version: int | None = None


class DeleteWriteKey(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    write_key: str
    if_version: int | None = None


class ConnectApp(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    app_id: str
    if_version: int | None = None


class DisconnectApp(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    if_version: int | None = None


class SetEnforcement(msgspec.Struct, frozen=True, kw_only=True):
    source_id: str
    mode: Enforcement
    if_version: int | None = None


# --- members and their access tokens ---


class AddMember(msgspec.Struct, frozen=True, kw_only=True):
    member_id: str
    name: str
    email: str
    grants: tuple[Grant, ...]


class ChangeRoles(msgspec.Struct, frozen=True, kw_only=True):
    member_id: str
    grants: tuple[Grant, ...]
    if_version: int | None = None


class RemoveMember(msgspec.Struct, frozen=True, kw_only=True):
    member_id: str
    if_version: int | None = None


class IssueAccessToken(msgspec.Struct, frozen=True, kw_only=True):
    token_id: str
    member_id: str
    name: str
    secret_hash: str
    expires_at: datetime | None = None


class RevokeAccessToken(msgspec.Struct, frozen=True, kw_only=True):
    token_id: str
    if_version: int | None = None


AppCommand: TypeAlias = CreateApp | EditApp | DeleteApp | AddKey | DeleteKey
SourceCommand: TypeAlias = (
    CreateSource | RenameSource | DeleteSource | AddWriteKey | DeleteWriteKey
)
ConnectionCommand: TypeAlias = ConnectApp | DisconnectApp | SetEnforcement
MemberCommand: TypeAlias = AddMember | ChangeRoles | RemoveMember
AccessTokenCommand: TypeAlias = IssueAccessToken | RevokeAccessToken
Command: TypeAlias = (
    AppCommand | SourceCommand | ConnectionCommand | MemberCommand | AccessTokenCommand
)
