"""All that the registry log says, in memory: one projection for every reader.

The issuer, the gateway, the app-registry's own read side and the audit fold the same
log with the same functions, so a rebuilt view and a live one cannot disagree.
"""

from collections.abc import Iterable, Iterator
from sys import intern
from typing import TypeAlias, cast

import msgspec
from msgspec.structs import force_setattr, replace

from tollgate.events import RecordedEvent, UnreadableEvent
from tollgate.events.registry import (
    WITHHELD_CATEGORIES,
    AccessTokenEvent,
    MemberEvent,
    OAuthAppEvent,
    SourceConnected,
    SourceEvent,
    WorkspaceCreated,
    WriteKeyAdded,
    WriteKeyDeleted,
    registry_decoder,
)
from tollgate.registry import access_token, member, oauth_app, source
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import OAuthApp, shared_set
from tollgate.registry.source import Source
from tollgate.state_parts import in_parts, shape_of


class Workspace(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    id: str
    version: int
    name: str


class WriteKey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which source a write key belongs to; one that was deleted stays known.

    `source` is the source as it is now while the key is `live`: who decides about a
    request need not look for it again. A deleted key only tells whose it was.
    """

    source: Source
    live: bool

    @property
    def source_id(self) -> str:
        return self.source.id


class Workspaces(msgspec.Struct, frozen=True, array_like=True, tag="workspaces"):
    """A part of a `RegistryState` as its dump holds it."""

    entities: list[Workspace]


class Members(msgspec.Struct, frozen=True, array_like=True, tag="members"):
    """A part of a `RegistryState` as its dump holds it."""

    entities: list[Member]


class AccessTokens(msgspec.Struct, frozen=True, array_like=True, tag="access_tokens"):
    """A part of a `RegistryState` as its dump holds it."""

    entities: list[AccessToken]


class Sources(msgspec.Struct, frozen=True, array_like=True, tag="sources"):
    """A part of a `RegistryState` as its dump holds it."""

    entities: list[Source]


class WriteKeys(msgspec.Struct, frozen=True, array_like=True, tag="write_keys"):
    """A part of a `RegistryState` as its dump holds it; it comes after the sources.

    Each is the key, the id of its source, and whether it is live.
    """

    entities: list[tuple[str, str, bool]]


class Apps(msgspec.Struct, frozen=True, array_like=True, tag="apps"):
    """A part of a `RegistryState` as its dump holds it; it comes after the sources."""

    entities: list[OAuthApp]


_Part: TypeAlias = Workspaces | Members | AccessTokens | Sources | WriteKeys | Apps

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[_Part] = msgspec.json.Decoder(_Part)


class RegistryState:
    """A container changed in place, of entities that never change.

    Members and access tokens stay empty where their events are withheld. Deleted
    entities stay, marked so, because "was deleted" and "never was" are different
    answers to an administrator and to a client.
    """

    LOG = "registry"
    SHAPE = shape_of(_Part)

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
                self._keep_write_keys(known, changed, cast("SourceEvent", event))
            case "oauth_app":
                app = self.apps.get(key) or OAuthApp(id=intern(key))
                if isinstance(event, SourceConnected):
                    event = self._sharing_its_id(event)
                self.apps[app.id] = oauth_app.evolve(
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

    def _sharing_its_id(self, event: SourceConnected) -> SourceConnected:
        """The same, with the source's own copy of its id: there are many of them."""
        source = self.sources.get(event.source_id)
        return event if source is None else replace(event, source_id=source.id)

    def _keep_write_keys(
        self, known: Source, changed: Source, event: SourceEvent
    ) -> None:
        """Let every live key of the source lead to the source as it is now."""
        added = event.write_key if isinstance(event, WriteKeyAdded) else None
        if isinstance(event, WriteKeyDeleted):
            self.write_keys[event.write_key] = WriteKey(source=changed, live=False)
        elif not changed.write_keys:
            for write_key in known.write_keys:
                self.write_keys[write_key] = WriteKey(source=changed, live=False)
        if changed.write_keys:
            belonging = WriteKey(source=changed, live=not changed.deleted)
            for write_key in changed.write_keys:
                held = self.write_keys.get(write_key)
                if held is None or held.source.id == changed.id or write_key == added:
                    self.write_keys[write_key] = belonging

    def parts(self) -> Iterator[bytes]:
        """The whole state as lines of JSON; changing it meanwhile is not allowed."""
        for workspaces in in_parts(self.workspaces.values()):
            yield _encoder.encode(Workspaces(workspaces))
        for members in in_parts(self.members.values()):
            yield _encoder.encode(Members(members))
        for tokens in in_parts(self.access_tokens.values()):
            yield _encoder.encode(AccessTokens(tokens))
        for sources in in_parts(self.sources.values()):
            yield _encoder.encode(Sources(sources))
        for keys in in_parts(self.write_keys.items()):
            told = [(key, each.source.id, each.live) for key, each in keys]
            yield _encoder.encode(WriteKeys(told))
        for apps in in_parts(self.apps.values()):
            yield _encoder.encode(Apps(apps))

    @classmethod
    def of_parts(cls, parts: Iterable[bytes]) -> "RegistryState":
        """The state that has these `parts`; `msgspec.MsgspecError` if they are none."""
        state = cls()
        for part in map(_decoder.decode, parts):
            match part:
                case Workspaces():
                    state.workspaces.update((each.id, each) for each in part.entities)
                case Members():
                    state.members.update((each.id, each) for each in part.entities)
                case AccessTokens():
                    state.access_tokens.update(
                        (each.id, each) for each in part.entities
                    )
                case Sources():
                    state._restore_sources(part.entities)
                case WriteKeys():
                    state._restore_write_keys(part.entities)
                case Apps():
                    state._restore_apps(part.entities)
        return state

    def _restore_sources(self, sources: list[Source]) -> None:
        """Keep `sources`, and one copy only of what many of them say."""
        for each in sources:
            force_setattr(each, "workspace_id", intern(each.workspace_id))
            force_setattr(each, "source_type", intern(each.source_type))
            if each.app_id is not None:
                force_setattr(each, "app_id", intern(each.app_id))
        self.sources.update((each.id, each) for each in sources)

    def _restore_write_keys(self, keys: list[tuple[str, str, bool]]) -> None:
        """Keep them, with the one copy of its text that its source has of each."""
        for write_key, source_id, live in keys:
            source = self.sources.get(source_id) or Source(id=source_id)
            text = write_key
            if write_key in source.write_keys:
                text = source.write_keys[source.write_keys.index(write_key)]
            self.write_keys[text] = WriteKey(source=source, live=live)

    def _restore_apps(self, apps: list[OAuthApp]) -> None:
        sources = self.sources
        for each in apps:
            for field in ("id", "workspace_id"):
                force_setattr(each, field, intern(getattr(each, field)))
            force_setattr(each, "honoured", tuple(map(intern, each.honoured)))
            for field in ("scopes", "kept_keys"):
                force_setattr(each, field, shared_set(getattr(each, field)))
            force_setattr(
                each,
                "sources",
                tuple(
                    sources[id_].id if id_ in sources else id_ for id_ in each.sources
                ),
            )
            force_setattr(each, "keys", {key.kid: key for key in each.keys.values()})
            for key in each.keys.values():
                force_setattr(key, "alg", intern(key.alg))
        self.apps.update((each.id, each) for each in apps)

    def dump(self) -> bytes:
        """All `parts` at once: for comparing, and for small states."""
        return b"\n".join(self.parts())

    @classmethod
    def load(cls, dump: bytes) -> "RegistryState":
        """The state of a `dump`; raises as `of_parts` does."""
        return cls.of_parts(dump.splitlines())
