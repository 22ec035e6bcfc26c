"""The rules of a source and its OAuth app: connected, enforced, disconnected.

A connection is recorded on both streams at once, so that deleting the app and
connecting it to one more source cannot both succeed.
"""

from collections.abc import Mapping

from app_registry.domain.authorization import require
from app_registry.domain.commands import ConnectApp, DisconnectApp, SetEnforcement
from app_registry.domain.errors import (
    EnforcementStillOn,
    SourceHasAnotherApp,
    SourceHasNoApp,
    SourceTypeWithoutOAuth,
)
from app_registry.domain.evidence import Evidence, refuse_another_version
from app_registry.domain.facts import Facts
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    OAuthAppConnected,
    OAuthAppDisconnected,
    SourceConnected,
    SourceDisconnected,
)
from tollgate.registry.roles import Action, Actor, SourceTarget
from tollgate.registry.source import Source
from tollgate.registry.source_types import SourceType, kind_of
from tollgate.registry.streams import app_stream, source_stream


def connect(
    command: ConnectApp,
    actor: Actor,
    evidence: Evidence,
    types: Mapping[str, SourceType],
) -> Facts:
    source = evidence.source_of(actor.workspace_id, command.source_id)
    require(actor, Action.CONNECT_APP, _target(source, command.app_id))
    app = evidence.app_of(actor.workspace_id, command.app_id)
    refuse_another_version(source, command.if_version)
    if source.app_id == app.id:
        return []
    known = types.get(source.source_type)
    if known is None or not known.oauth:
        raise SourceTypeWithoutOAuth(
            "OAuth is for sources that can keep a private key: not for this type"
        )
    if source.app_id is not None:
        raise SourceHasAnotherApp("disconnect the other OAuth app first")
    return [
        (source_stream(source.id), OAuthAppConnected(app_id=app.id)),
        (app_stream(app.id), SourceConnected(source_id=source.id)),
    ]


def disconnect(command: DisconnectApp, actor: Actor, evidence: Evidence) -> Facts:
    source = evidence.source_of(actor.workspace_id, command.source_id)
    require(actor, Action.CONNECT_APP, _target(source, source.app_id))
    refuse_another_version(source, command.if_version)
    if source.app_id is None:
        return []
    if source.enforcement is not Enforcement.OFF:
        raise EnforcementStillOn("turn enforcement off before you disconnect the app")
    app = evidence.app(source.app_id)
    return [
        (source_stream(source.id), OAuthAppDisconnected(app_id=app.id)),
        (app_stream(app.id), SourceDisconnected(source_id=source.id)),
    ]


def set_enforcement(command: SetEnforcement, actor: Actor, evidence: Evidence) -> Facts:
    source = evidence.source_of(actor.workspace_id, command.source_id)
    require(actor, Action.SET_ENFORCEMENT, _target(source, None))
    refuse_another_version(source, command.if_version)
    if source.enforcement is command.mode:
        return []
    if source.app_id is None:
        raise SourceHasNoApp("connect an OAuth app before you enforce it")
    return [(source_stream(source.id), EnforcementChanged(mode=command.mode))]


def _target(source: Source, app_id: str | None) -> SourceTarget:
    return SourceTarget(id=source.id, kind=kind_of(source.source_type), app_id=app_id)
