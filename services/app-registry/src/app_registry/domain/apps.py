"""The rules of OAuth apps."""

from app_registry.domain.authorization import require
from app_registry.domain.commands import (
    AddKey,
    CreateApp,
    DeleteApp,
    DeleteKey,
    EditApp,
    NewKey,
)
from app_registry.domain.errors import (
    AppStillConnected,
    KeyAlreadyHeld,
    NameNotConfirmed,
    NoSuchKey,
    TooManyKeys,
    UnacceptableScopes,
    UnknownTokenLifetime,
)
from app_registry.domain.evidence import Evidence, refuse_another_version
from app_registry.domain.facts import Facts
from app_registry.domain.texts import require_name
from tollgate.events import Event
from tollgate.events.registry import (
    KeyAdded,
    KeyDeleted,
    OAuthAppCreated,
    OAuthAppDeleted,
    OAuthAppRenamed,
    ScopesChanged,
    TokenLifetimeChanged,
)
from tollgate.oauth.scopes import Scope
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.roles import Action, Actor
from tollgate.registry.streams import app_stream

MAX_KEYS = 2  # the key in use and its replacement

DAY = 24 * 60 * 60
TOKEN_LIFETIMES = frozenset({1 * DAY, 2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY, 21 * DAY,
                             30 * DAY})  # fmt: skip
"""Seconds. Beyond 49 days the timer of Segment's Node SDK overflows."""


def create(command: CreateApp, actor: Actor, evidence: Evidence) -> Facts:
    require(actor, Action.CREATE_APP)
    _require_grantable(command.scopes, actor)
    require_name(command.name)
    _require_lifetime(command.token_lifetime)
    evidence.app(command.app_id)
    created = OAuthAppCreated(
        workspace_id=actor.workspace_id,
        name=command.name,
        token_lifetime=command.token_lifetime,
        scopes=tuple(sorted(command.scopes)),
    )
    return _on(command.app_id, created, _key_added(command.key))


def edit(command: EditApp, actor: Actor, evidence: Evidence) -> Facts:
    app = _editable(command.app_id, actor, evidence)
    refuse_another_version(app, command.if_version)
    events: list[Event] = []
    if command.name is not None and command.name != app.name:
        require_name(command.name)
        events.append(OAuthAppRenamed(name=command.name))
    lifetime = command.token_lifetime
    if lifetime is not None and lifetime != app.token_lifetime:
        _require_lifetime(lifetime)
        events.append(TokenLifetimeChanged(token_lifetime=lifetime))
    if command.scopes is not None and command.scopes != app.scopes:
        _require_grantable(command.scopes, actor)
        events.append(ScopesChanged(scopes=tuple(sorted(command.scopes))))
    return _on(app.id, *events)


def delete(command: DeleteApp, actor: Actor, evidence: Evidence) -> Facts:
    app = _editable(command.app_id, actor, evidence)
    refuse_another_version(app, command.if_version)
    if command.confirm_name != app.name:
        raise NameNotConfirmed("give the name of the app again to delete it")
    if app.sources:
        raise AppStillConnected("disconnect its sources before you delete the app")
    return _on(app.id, OAuthAppDeleted())


def add_key(command: AddKey, actor: Actor, evidence: Evidence) -> Facts:
    app = _editable(command.app_id, actor, evidence)
    refuse_another_version(app, command.if_version)
    if command.key.kid in app.keys:
        raise KeyAlreadyHeld("the app has this key already")
    if len(app.keys) >= MAX_KEYS:
        raise TooManyKeys("delete a key before you add a third")
    return _on(app.id, _key_added(command.key))


def delete_key(command: DeleteKey, actor: Actor, evidence: Evidence) -> Facts:
    app = _editable(command.app_id, actor, evidence)
    refuse_another_version(app, command.if_version)
    if command.kid not in app.keys:
        raise NoSuchKey("the app has no such key")
    return _on(app.id, KeyDeleted(kid=command.kid, keep_tokens=command.keep_tokens))


def _editable(app_id: str, actor: Actor, evidence: Evidence) -> OAuthApp:
    app = evidence.app_of(actor.workspace_id, app_id)
    require(actor, Action.EDIT_APP, evidence.target(app))
    return app


def _require_grantable(scopes: frozenset[str], actor: Actor) -> None:
    if not scopes:
        raise UnacceptableScopes("an app has at least one scope")
    if not scopes <= frozenset(Scope):
        raise UnacceptableScopes(f"the scopes are {', '.join(Scope)}")
    if Scope.PUBLIC_API_READ_WRITE in scopes:
        require(actor, Action.GRANT_PUBLIC_API)


def _require_lifetime(seconds: int) -> None:
    if seconds not in TOKEN_LIFETIMES:
        raise UnknownTokenLifetime("a token lives 1d, 2d, 3d, 1w, 2w, 3w or 30d")


def _key_added(key: NewKey) -> KeyAdded:
    require_name(key.name)
    return KeyAdded(kid=key.kid, name=key.name, alg=key.alg, pem=key.pem)


def _on(app_id: str, *events: Event) -> Facts:
    return [(app_stream(app_id), event) for event in events]
