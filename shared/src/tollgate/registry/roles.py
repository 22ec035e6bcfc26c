"""Who may do what: the roles of a workspace, as one table and two guards.

The app-registry decides its commands with it, the token-issuer its revocations, so
that a role means the same in both.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from tollgate.events.registry import Grant, Role
from tollgate.oauth.scopes import Scope
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source_types import SourceKind

Actor: TypeAlias = Member | OAuthApp
"""A member, or an app whose access token has the scope `public_api:read_write`."""


class Action(StrEnum):
    """What can be asked for. `EDIT_APP` is all that the page of an app offers: rename
    it, its keys, its token lifetime and scopes, revoke its tokens, delete it."""

    VIEW_WORKSPACE = "view_workspace"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_ACCESS_TOKENS = "manage_access_tokens"
    READ_AUDIT = "read_audit"
    CREATE_SOURCE = "create_source"
    LIST_SOURCES = "list_sources"
    VIEW_SOURCE = "view_source"
    SEE_WRITE_KEYS = "see_write_keys"
    EDIT_SOURCE = "edit_source"
    CONNECT_APP = "connect_app"
    SET_ENFORCEMENT = "set_enforcement"
    CREATE_APP = "create_app"
    VIEW_APPS = "view_apps"
    EDIT_APP = "edit_app"
    GRANT_PUBLIC_API = "grant_public_api"


class SourceTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A source; `id` is None for one that is to be created.

    `app_id` names the app that is connected or disconnected, if that is the action.
    """

    id: str | None = None
    kind: SourceKind | None
    app_id: str | None = None


class AppTarget(msgspec.Struct, frozen=True, kw_only=True):
    """An app with the sources it is connected to."""

    id: str
    scopes: frozenset[str]
    sources: tuple[SourceTarget, ...]


Target: TypeAlias = SourceTarget | AppTarget | None
"""What the action is done to; None is the workspace itself."""

_ON_A_SOURCE = frozenset(
    {
        Action.CREATE_SOURCE,
        Action.VIEW_SOURCE,
        Action.SEE_WRITE_KEYS,
        Action.EDIT_SOURCE,
        Action.CONNECT_APP,
        Action.SET_ENFORCEMENT,
    }
)

_VIEW = frozenset(
    {
        Action.VIEW_WORKSPACE,
        Action.LIST_SOURCES,
        Action.VIEW_SOURCE,
        Action.VIEW_APPS,
    }
)
_ADMINISTER = _VIEW | {
    Action.SEE_WRITE_KEYS,
    Action.CONNECT_APP,
    Action.SET_ENFORCEMENT,
    Action.EDIT_APP,
}

ROLE_ACTIONS: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        Role.WORKSPACE_OWNER: frozenset(Action),
        Role.WORKSPACE_MEMBER: frozenset({Action.VIEW_WORKSPACE}),
        Role.SOURCE_ADMIN: _ADMINISTER | {Action.CREATE_SOURCE},
        Role.SOURCE_READ_ONLY: _VIEW,
        Role.FUNCTION_ADMIN: _ADMINISTER,
        Role.FUNCTION_READ_ONLY: _VIEW,
    }
)

APP_ACTIONS = _ADMINISTER | {Action.CREATE_SOURCE, Action.EDIT_SOURCE}
"""What an app may do with an access token of its own for the admin API."""

_EVERY_KIND = frozenset(SourceKind)
_ROLE_KINDS: Mapping[Role, frozenset[SourceKind]] = MappingProxyType(
    {
        Role.WORKSPACE_OWNER: _EVERY_KIND,
        Role.WORKSPACE_MEMBER: frozenset(),
        Role.SOURCE_ADMIN: _EVERY_KIND - {SourceKind.FUNCTION},
        Role.SOURCE_READ_ONLY: _EVERY_KIND - {SourceKind.FUNCTION},
        Role.FUNCTION_ADMIN: frozenset({SourceKind.FUNCTION}),
        Role.FUNCTION_READ_ONLY: frozenset({SourceKind.FUNCTION}),
    }
)


def may(actor: Actor, action: Action, target: Target = None) -> bool:
    """Whether `actor` may do `action` to `target`, which is of the same workspace."""
    if not actor.exists:
        return False
    if isinstance(actor, OAuthApp):
        return _app_may(actor, action, target)
    if actor.is_owner:
        return True
    if action is Action.EDIT_APP:
        return isinstance(target, AppTarget) and _may_edit(actor, target)
    return any(_grant_allows(grant, action, target) for grant in actor.grants)


def covers(grant: Grant, source: SourceTarget) -> bool:
    """Whether the role is held for this source, whatever it allows there."""
    if grant.role is Role.WORKSPACE_OWNER:
        return True
    if source.kind not in _ROLE_KINDS[grant.role]:
        return False
    return grant.sources is None or source.id in grant.sources


def _grant_allows(grant: Grant, action: Action, target: Target) -> bool:
    if action not in ROLE_ACTIONS[grant.role]:
        return False
    if action in _ON_A_SOURCE:
        return isinstance(target, SourceTarget) and covers(grant, target)
    return True


def _may_edit(member: Member, app: AppTarget) -> bool:
    """The two guards on editing an app; several roles add up."""
    if Scope.PUBLIC_API_READ_WRITE in app.scopes:
        return False
    editing = [
        grant for grant in member.grants if Action.EDIT_APP in ROLE_ACTIONS[grant.role]
    ]
    if any(grant.sources is None for grant in editing):
        return True
    return bool(app.sources) and all(
        any(covers(grant, source) for grant in editing) for source in app.sources
    )


def _app_may(actor: OAuthApp, action: Action, target: Target) -> bool:
    """An app acts with its own token; it does not manage itself or its equals."""
    if Scope.PUBLIC_API_READ_WRITE not in actor.scopes or action not in APP_ACTIONS:
        return False
    if action is Action.CONNECT_APP:
        return isinstance(target, SourceTarget) and target.app_id != actor.id
    if action is Action.EDIT_APP:
        return (
            isinstance(target, AppTarget)
            and target.id != actor.id
            and Scope.PUBLIC_API_READ_WRITE not in target.scopes
        )
    return True
