"""All that the registry log says, in memory: one projection for every reader.

The issuer, the gateway, the app-registry's own read side and the audit fold the same
log with the same functions, so a rebuilt view and a live one cannot disagree.
"""

from typing import Any, cast

import msgspec

from tollgate.events import RecordedEvent, UnreadableEvent
from tollgate.events.registry import (
    WITHHELD_CATEGORIES,
    AccessTokenEvent,
    MemberEvent,
    OAuthAppEvent,
    SourceEvent,
    WorkspaceCreated,
    WriteKeyAdded,
    WriteKeyDeleted,
    registry_decoder,
)
from tollgate.registry import access_token, member, oauth_app, source
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.source import Source


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: int
    name: str


class WriteKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which source a write key belongs to; one that was deleted stays known."""

    source_id: str
    live: bool


class RegistryState:
    """A container changed in place, of entities that never change.

    Members and access tokens stay empty where their events are withheld. Deleted
    entities stay, marked so, because "was deleted" and "never was" are different
    answers to an administrator and to a client.
    """

    LOG = "registry"

    def __init__(self) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self.members: dict[str, Member] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.sources: dict[str, Source] = {}
        self.write_keys: dict[str, WriteKey] = {}
        self.apps: dict[str, OAuthApp] = {}

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold in the next event of the log, or raise `UnreadableEvent`."""
        category, _, key = recorded.stream.partition("-")
        if recorded.data is None:
            if category not in WITHHELD_CATEGORIES:
                raise UnreadableEvent(f"event {recorded.position} is withheld")
            return
        event = registry_decoder.decode(recorded)
        if event is None:
            return
        version = recorded.version
        match category:
            case "source":
                known = self.sources.get(key) or Source(id=key)
                changed = source.evolve(known, cast("SourceEvent", event), version)
                self.sources[key] = changed
                self._keep_write_keys(changed, cast("SourceEvent", event))
            case "oauth_app":
                app = self.apps.get(key) or OAuthApp(id=key)
                self.apps[key] = oauth_app.evolve(
                    app, cast("OAuthAppEvent", event), version
                )
            case "member":
                self.members[key] = member.evolve(
                    self.members.get(key) or Member(id=key),
                    cast("MemberEvent", event),
                    version,
                )
            case "access_token":
                self.access_tokens[key] = access_token.evolve(
                    self.access_tokens.get(key) or AccessToken(id=key),
                    cast("AccessTokenEvent", event),
                    version,
                )
            case "workspace":
                created = cast("WorkspaceCreated", event)
                self.workspaces[key] = Workspace(
                    id=key, version=version, name=created.name
                )
            case "write_key":
                pass  # the claim repeats what the source's own event says
            case _:
                raise UnreadableEvent(
                    f"event {recorded.position} has an unknown kind of stream"
                )

    def _keep_write_keys(self, changed: Source, event: SourceEvent) -> None:
        match event:
            case WriteKeyAdded(write_key=write_key):
                self.write_keys[write_key] = WriteKey(source_id=changed.id, live=True)
            case WriteKeyDeleted(write_key=write_key):
                self.write_keys[write_key] = WriteKey(source_id=changed.id, live=False)
            case _:
                if changed.deleted:
                    for write_key in changed.write_keys:
                        self.write_keys[write_key] = WriteKey(
                            source_id=changed.id, live=False
                        )

    def contents(self) -> dict[str, dict[str, Any]]:
        """Copies of the containers, by name; what they hold never changes."""
        return {
            "workspaces": self.workspaces.copy(),
            "members": self.members.copy(),
            "access_tokens": self.access_tokens.copy(),
            "sources": self.sources.copy(),
            "write_keys": self.write_keys.copy(),
            "apps": self.apps.copy(),
        }

    def dump(self) -> bytes:
        """The whole state as JSON with sorted members: for snapshots and comparing."""
        return msgspec.json.encode(self.contents(), order="deterministic")

    @classmethod
    def load(cls, dump: bytes) -> "RegistryState":
        """The state of a `dump`; raises `msgspec.MsgspecError` if it is not one."""
        read = msgspec.json.decode(dump, type=_Dump)
        state = cls()
        state.workspaces = read.workspaces
        state.members = read.members
        state.access_tokens = read.access_tokens
        state.sources = read.sources
        state.write_keys = read.write_keys
        state.apps = read.apps
        return state


class _Dump(msgspec.Struct, frozen=True, kw_only=True):
    workspaces: dict[str, Workspace]
    members: dict[str, Member]
    access_tokens: dict[str, AccessToken]
    sources: dict[str, Source]
    write_keys: dict[str, WriteKey]
    apps: dict[str, OAuthApp]
