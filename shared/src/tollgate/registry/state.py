"""All that the registry log says, in memory: one projection for every reader.

The issuer, the gateway, the app-registry's own read side and the audit fold the same
log with the same functions, so a rebuilt view and a live one cannot disagree.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from sys import intern
from typing import Any, ClassVar, TypeAlias, get_args

import msgspec
from msgspec.structs import force_setattr, replace

from tollgate.events import Event, RecordedEvent, UnreadableEvent
from tollgate.events.registry import (
    WITHHELD_CATEGORIES,
    AccessTokenEvent,
    MemberEvent,
    OAuthAppEvent,
    RegistryEvent,
    SourceConnected,
    SourceEvent,
    WorkspaceCreated,
    WriteKeyAdded,
    WriteKeyClaimed,
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

_facts: msgspec.json.Decoder[tuple[int, str, RegistryEvent]] = msgspec.json.Decoder(
    tuple[int, str, RegistryEvent]
)
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder: msgspec.json.Decoder[_Part] = msgspec.json.Decoder(_Part)


class RegistryState:
    """A container changed in place, of entities that never change.

    Members and access tokens stay empty where their events are withheld. Deleted
    entities stay, marked so, because "was deleted" and "never was" are different
    answers to an administrator and to a client.
    """

    LOG = "registry"
    NEEDS_TIME: ClassVar[bool] = False
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
        if recorded.data is None:
            if recorded.category not in WITHHELD_CATEGORIES:
                raise UnreadableEvent(f"event {recorded.position} is withheld")
            return
        event = registry_decoder.decode(recorded)
        if event is not None:
            fact = (recorded.version, recorded.stream, event)
            self._fold(recorded.position, (fact,))

    def fold_lines(self, first: int, lines: bytes) -> None:
        """Fold in many events at once; see `tollgate.eventlog.replay`."""
        self._fold(first, _facts.decode_lines(lines))

    def _fold(self, first: int, facts: Iterable[tuple[int, str, Event]]) -> None:
        """Fold in facts that stand at `first` and after it: version, stream, event."""
        folds = _FOLDS
        for position, (version, stream, event) in enumerate(facts, first):
            category, _, key = stream.partition("-")
            fold = folds.get((category, type(event)))
            if fold is None:
                raise UnreadableEvent(
                    f"event {position} is of another kind than its stream"
                )
            fold(self, key, event, version)

    def _fold_workspace(self, key: str, event: WorkspaceCreated, version: int) -> None:
        self.workspaces[key] = Workspace(id=key, version=version, name=event.name)

    def _fold_member(self, key: str, event: MemberEvent, version: int) -> None:
        known = self.members.get(key) or Member(id=key)
        self.members[key] = member.evolve(known, event, version)

    def _fold_access_token(
        self, key: str, event: AccessTokenEvent, version: int
    ) -> None:
        known = self.access_tokens.get(key) or AccessToken(id=key)
        self.access_tokens[key] = access_token.evolve(known, event, version)

    def _fold_source(self, key: str, event: SourceEvent, version: int) -> None:
        known = self.sources.get(key) or Source(id=key)
        changed = self.sources[key] = source.evolve(known, event, version)
        self._keep_write_keys(known, changed, event)

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

    def _fold_app(self, key: str, event: OAuthAppEvent, version: int) -> None:
        app = self.apps.get(key) or OAuthApp(id=intern(key))
        self.apps[app.id] = oauth_app.evolve(app, event, version)

    def _fold_source_connected(
        self, key: str, event: SourceConnected, version: int
    ) -> None:
        """With the source's own copy of its id: there are many of them."""
        source = self.sources.get(event.source_id)
        if source is not None:
            event = replace(event, source_id=source.id)
        self._fold_app(key, event, version)

    def _fold_write_key_claimed(
        self, key: str, event: WriteKeyClaimed, version: int
    ) -> None:
        """Nothing: it repeats what the source's own event says."""

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


_Fold: TypeAlias = Callable[[RegistryState, str, Any, int], None]

_FOLDS_OF_CATEGORIES: tuple[tuple[str, tuple[type[Event], ...], _Fold], ...] = (
    ("workspace", (WorkspaceCreated,), RegistryState._fold_workspace),  # noqa: SLF001
    ("member", get_args(MemberEvent), RegistryState._fold_member),  # noqa: SLF001
    ("access_token", get_args(AccessTokenEvent), RegistryState._fold_access_token),  # noqa: SLF001
    ("source", get_args(SourceEvent), RegistryState._fold_source),  # noqa: SLF001
    ("write_key", (WriteKeyClaimed,), RegistryState._fold_write_key_claimed),  # noqa: SLF001
    ("oauth_app", get_args(OAuthAppEvent), RegistryState._fold_app),  # noqa: SLF001
    # After the others of its category, because it takes the place of one of them.
    ("oauth_app", (SourceConnected,), RegistryState._fold_source_connected),  # noqa: SLF001
)
_FOLDS: Mapping[tuple[str, type[Event]], _Fold] = {
    (category, event_type): fold
    for category, event_types, fold in _FOLDS_OF_CATEGORIES
    for event_type in event_types
}
"""How an event of that type on a stream of that category is folded in."""
