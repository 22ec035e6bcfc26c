"""What a command is about, and how that is once the facts are recorded."""

from collections.abc import Sequence
from typing import TypeAlias, assert_never, cast

from app_registry.domain.commands import (
    AddKey,
    AddMember,
    ChangeRoles,
    Command,
    CreateApp,
    DeleteApp,
    DeleteKey,
    EditApp,
    IssueAccessToken,
    RemoveMember,
    RevokeAccessToken,
)
from app_registry.domain.facts import Facts
from tollgate.events import Event, RecordedEvent
from tollgate.events.registry import (
    AccessTokenEvent,
    MemberEvent,
    OAuthAppEvent,
    SourceEvent,
    registry_decoder,
)
from tollgate.registry import access_token, member, oauth_app, source
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source import Source
from tollgate.registry.streams import (
    access_token_stream,
    app_stream,
    member_stream,
    source_stream,
)

Entity: TypeAlias = OAuthApp | Source | Member | AccessToken


def stream_of(command: Command) -> str:
    """The stream of the thing that the answer to the command shows."""
    match command:
        case CreateApp() | EditApp() | DeleteApp() | AddKey() | DeleteKey():
            return app_stream(command.app_id)
        case AddMember() | ChangeRoles() | RemoveMember():
            return member_stream(command.member_id)
        case IssueAccessToken() | RevokeAccessToken():
            return access_token_stream(command.token_id)
        case _:
            return source_stream(command.source_id)


def blank(stream: str) -> Entity:
    """The thing of that stream before anything happened to it."""
    category, _, key = stream.partition("-")
    match category:
        case "oauth_app":
            return OAuthApp(id=key)
        case "source":
            return Source(id=key)
        case "member":
            return Member(id=key)
        case "access_token":
            return AccessToken(id=key)
        case _:
            raise ValueError(f"nothing is folded from {category}")


def after(entity: Entity, stream: str, facts: Facts) -> Entity:
    """The thing of `stream` after those of the facts that happened to it."""
    for happened_to, event in facts:
        if happened_to == stream:
            entity = _evolve(entity, event, entity.version + 1)
    return entity


def fold(stream: str, history: Sequence[RecordedEvent]) -> Entity:
    """The thing of `stream` after the whole of `history`."""
    entity = blank(stream)
    for recorded in history:
        event = registry_decoder.decode(recorded)
        if event is not None:
            entity = _evolve(entity, event, recorded.version)
    return entity


def _evolve(entity: Entity, event: Event, version: int) -> Entity:
    match entity:
        case OAuthApp():
            return oauth_app.evolve(entity, cast("OAuthAppEvent", event), version)
        case Source():
            return source.evolve(entity, cast("SourceEvent", event), version)
        case Member():
            return member.evolve(entity, cast("MemberEvent", event), version)
        case AccessToken():
            return access_token.evolve(entity, cast("AccessTokenEvent", event), version)
        case _:
            assert_never(entity)
