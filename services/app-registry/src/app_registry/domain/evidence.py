"""What a decision was made on, noted while it is made.

Every stream that a rule asks about becomes a precondition of the append: if one of them
has moved meanwhile, nothing is recorded and the command is decided again. A rule cannot
forget to state what it relied on, because it has no other way to know.
"""

from typing import Protocol, TypeVar

from app_registry.domain.errors import (
    NoSuchAccessToken,
    NoSuchApp,
    NoSuchMember,
    NoSuchSource,
    VersionDiffers,
)
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.roles import AppTarget, SourceTarget
from tollgate.registry.source import Source
from tollgate.registry.source_types import SourceKind, kind_of
from tollgate.registry.state import RegistryState, Workspace
from tollgate.registry.streams import (
    access_token_stream,
    app_stream,
    member_stream,
    source_stream,
    workspace_stream,
    write_key_stream,
)


class Entity(Protocol):
    """What the rules of every kind of thing need of it."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def workspace_id(self) -> str: ...
    @property
    def exists(self) -> bool: ...


EntityT = TypeVar("EntityT", bound=Entity)


class Evidence:
    """The registry as one decision sees it; `relied_on` maps streams to versions."""

    def __init__(self, state: RegistryState) -> None:
        self._state = state
        self.relied_on: dict[str, int] = {}

    def app(self, app_id: str) -> OAuthApp:
        known = self._state.apps.get(app_id) or OAuthApp(id=app_id)
        return self._noted(app_stream(app_id), known)

    def source(self, source_id: str) -> Source:
        known = self._state.sources.get(source_id) or Source(id=source_id)
        return self._noted(source_stream(source_id), known)

    def member(self, member_id: str) -> Member:
        known = self._state.members.get(member_id) or Member(id=member_id)
        return self._noted(member_stream(member_id), known)

    def access_token(self, token_id: str) -> AccessToken:
        known = self._state.access_tokens.get(token_id) or AccessToken(id=token_id)
        return self._noted(access_token_stream(token_id), known)

    def workspace(self, workspace_id: str) -> Workspace | None:
        known = self._state.workspaces.get(workspace_id)
        stream = workspace_stream(workspace_id)
        self.relied_on[stream] = 0 if known is None else known.version
        return known

    def app_of(self, workspace_id: str, app_id: str) -> OAuthApp:
        """An app of the workspace, or `NoSuchApp`; so for the other three."""
        app = self.app(app_id)
        if not _is_in(workspace_id, app):
            raise NoSuchApp("there is no such OAuth app")
        return app

    def source_of(self, workspace_id: str, source_id: str) -> Source:
        source = self.source(source_id)
        if not _is_in(workspace_id, source):
            raise NoSuchSource("there is no such source")
        return source

    def member_of(self, workspace_id: str, member_id: str) -> Member:
        member = self.member(member_id)
        if not _is_in(workspace_id, member):
            raise NoSuchMember("there is no such member")
        return member

    def access_token_of(self, workspace_id: str, token_id: str) -> AccessToken:
        token = self.access_token(token_id)
        if not _is_in(workspace_id, token) or not self.member(token.member_id).exists:
            raise NoSuchAccessToken("there is no such access token")
        return token

    def another_owner(self, member: Member) -> Member | None:
        """Somebody else who owns the workspace of `member`, if there is one.

        One witness is enough: while that member stays as they are, the workspace has
        an owner. Two owners who remove each other at the same time are each other's
        witness, so the second of the two is decided again.
        """
        for other in self._state.members.values():
            if (
                other.id != member.id
                and other.workspace_id == member.workspace_id
                and other.is_owner
            ):
                return self.member(other.id)
        return None

    def is_claimed(self, write_key: str) -> bool:
        """Whether the write key ever belonged to a source of the deployment."""
        claimed = write_key in self._state.write_keys
        self.relied_on[write_key_stream(write_key)] = 1 if claimed else 0
        return claimed

    def kind_of_source(self, source_id: str) -> SourceKind | None:
        """Which kind it is; this never changes, so it is not noted."""
        known = self._state.sources.get(source_id)
        return None if known is None else kind_of(known.source_type)

    def target(self, app: OAuthApp) -> AppTarget:
        """The app as the roles look at it."""
        return AppTarget(
            id=app.id,
            scopes=app.scopes,
            sources=tuple(
                SourceTarget(id=source_id, kind=self.kind_of_source(source_id))
                for source_id in app.sources
            ),
        )

    def _noted(self, stream: str, entity: EntityT) -> EntityT:
        self.relied_on[stream] = entity.version
        return entity


def _is_in(workspace_id: str, entity: Entity) -> bool:
    """Whether it is there for that workspace: another's does not exist for it."""
    return entity.exists and entity.workspace_id == workspace_id


def refuse_another_version(entity: Entity, if_version: int | None) -> None:
    if if_version is not None and if_version != entity.version:
        raise VersionDiffers("it has changed since: read it again")
