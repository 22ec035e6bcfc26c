"""All that the registry log says, in memory: one projection for every reader.

The issuer, the gateway, the app-registry's own read side and the audit fold the same
log with the same functions, so a rebuilt view and a live one cannot disagree.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from sys import intern
from typing import Any, TypeAlias, get_args

import msgspec
from msgspec.structs import force_setattr as _set
from msgspec.structs import replace

from tollgate.events import Event, RecordedEvent, UnreadableEvent
from tollgate.events.registry import (
    WITHHELD_CATEGORIES,
    AccessTokenEvent,
    Enforcement,
    MemberEvent,
    RegistryEvent,
    SourceConnected,
    SourceCreated,
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
from tollgate.registry.source_ids import SourceIds
from tollgate.state_parts import in_parts, shape_of


class Workspace(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    id: str
    version: int
    name: str


class Lead(msgspec.Struct, gc=False):
    """An app that decisions are led to by write keys.

    It `holds` for as long as the app is that, and all keys that led here lead here.
    """

    app: OAuthApp
    holds: bool = True


class CurrentApp(msgspec.Struct, gc=False):
    """An app as it is now: changed in place, so that whoever was led here stays right.

    `app` has version 0 while no event tells of it. `lead` is what decisions were told
    of it, if any was.
    """

    app: OAuthApp
    lead: Lead | None = None

    def become(self, app: OAuthApp) -> None:
        self.app = app
        if self.lead is not None:  # a fold from the beginning is spared the call
            self.end_lead()

    def end_lead(self) -> None:
        """What was told of the app, and of the keys that lead here, holds no more."""
        if self.lead is not None:
            self.lead.holds = False
            self.lead = None


class WriteKey(msgspec.Struct, kw_only=True, gc=False):
    """What a write key leads to; one that was deleted stays known, but not `live`.

    The live keys of a source share one, which is changed in place: `source` is the
    source as it is now. A deleted key only tells whose it was. `guard` is the app
    whose tokens the source asks for: None where it asks for none, or for those of no
    app. So whoever decides about a request finds what it takes in three steps.
    """

    source: Source
    live: bool
    guard: CurrentApp | None = None

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


class StrayWriteKeys(
    msgspec.Struct, frozen=True, array_like=True, tag="stray_write_keys"
):
    """A part of a `RegistryState` as its dump holds it; it comes after the sources.

    Each is a key that is not only its own source's: deleted, or added to several. It,
    the id of its source, and whether it is live.
    """

    entities: list[tuple[str, str, bool]]


class Apps(msgspec.Struct, frozen=True, array_like=True, tag="apps"):
    """A part of a `RegistryState` as its dump holds it; it comes after the sources."""

    entities: list[OAuthApp]


_Part: TypeAlias = Workspaces | Members | AccessTokens | Sources | StrayWriteKeys | Apps


_facts: msgspec.json.Decoder[tuple[int, str, RegistryEvent]] = msgspec.json.Decoder(
    tuple[int, str, RegistryEvent]
)
_OFF = Enforcement.OFF
_id_of = attrgetter("id")

_encoder = msgspec.json.Encoder(order="deterministic", enc_hook=list)


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
        self._current_apps: dict[str, CurrentApp] = {}
        self._unsettled: list[Source] = []
        self._has_led = False  # nobody asks while a log is folded from its beginning

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold in the next event of the log, or raise `UnreadableEvent`."""
        if recorded.data is None:
            if recorded.category not in WITHHELD_CATEGORIES:
                raise UnreadableEvent(f"event {recorded.position} is withheld")
            return
        event = registry_decoder.decode(recorded)
        if event is not None:
            fact = (recorded.version, recorded.stream, event)
            self._fold(recorded.position, [fact])

    def fold_lines(self, first: int, lines: bytes) -> int:
        """Fold in many events at once; see `tollgate.eventlog.replay`."""
        facts = _facts.decode_lines(lines)
        self._fold(first, facts)
        return len(facts)

    def lead_of(self, write_key: str) -> Lead | None:
        """The app whose tokens the source of a live key asks for, if it does for any's.

        The key leads there for as long as that holds.
        """
        known = self.write_keys.get(write_key)
        if known is None or known.guard is None:
            return None
        guard = known.guard
        lead = guard.lead
        if lead is None:
            lead = guard.lead = Lead(guard.app)
            self._has_led = True
        return lead

    def reach(self, recorded_at: datetime) -> None:
        """Nothing here depends on the time."""

    def _fold(self, first: int, facts: Sequence[tuple[int, str, Event]]) -> None:
        """Fold in facts that stand at `first` and after it: version, stream, event.

        A source or an app is copied once, when the first of them is about it, and then
        changed in place, so that whoever held it before has it as it was.
        """
        opened: dict[str, tuple[Any, _Folds]] = {}
        try:
            for version, stream, event in facts:
                kind = type(event)
                if kind is WriteKeyClaimed and stream.startswith("write_key-"):
                    continue  # told by the source's own event as well
                subject, folds = opened.get(stream) or self._open(stream, event, opened)
                try:
                    change, keep = folds[kind]
                except KeyError:
                    raise _Misplaced from None
                if keep is not None:
                    keep(self, subject, event, version)
                change(subject, event, version)
        except _Misplaced:
            position = first + facts.index((version, stream, event))
            raise UnreadableEvent(
                f"event {position} is of another kind than its stream"
            ) from None
        finally:
            for source in self._unsettled:
                self._settle(source)
            self._unsettled.clear()

    def _open(
        self, stream: str, event: Event, opened: dict[str, tuple[Any, "_Folds"]]
    ) -> tuple[Any, "_Folds"]:
        """What the stream is of, and how its events are folded; `_Misplaced` if none.

        Nothing is opened for an event that may not stand there.
        """
        category, _, key = stream.partition("-")
        opening, folds = _CATEGORIES.get(category, _UNKNOWN)
        if event.__class__ not in folds:
            raise _Misplaced
        known = opened[stream] = (opening(self, key), folds)
        return known

    def keep_source(self, kept: Source) -> None:
        """Put in a source with its keys, where there are no events to fold."""
        self.sources[kept.id] = kept
        leading = WriteKey(
            source=kept, live=not kept.deleted, guard=self._guard_of(kept)
        )
        for write_key in kept.write_keys:
            self._let_lead(write_key, leading)

    def keep_app(self, kept: OAuthApp) -> None:
        """Put in an app, where there are no events to fold."""
        self.apps[kept.id] = kept
        current = self._current_apps.get(kept.id)
        if current is not None:
            current.become(kept)

    def _open_source(self, key: str) -> Source:
        """The source, for this fold to change in place: its own from here on."""
        known = self.sources.get(key)
        if known is None:
            opened = self.sources[key] = Source(id=key)
        else:
            leading = self._leading_to(known)
            opened = self.sources[key] = replace(known)
            if leading is not None:
                leading.source = opened
        self._unsettled.append(opened)
        return opened

    def _settle(self, source: Source) -> None:
        """Let the live keys of a source that was opened say what it asks for now."""
        leading = self._leading_to(source)
        if leading is not None:
            before = leading.guard
            leading.live = not source.deleted
            leading.guard = self._guard_of(source)
            if before is not None and leading.guard is not before:
                before.end_lead()

    def _let_lead(self, write_key: str, leading: WriteKey) -> None:
        """Let the key lead there from now on, wherever it led before."""
        if self._has_led:
            before = self.write_keys.get(write_key)
            if before is not None and before.guard is not None:
                before.guard.end_lead()
        self.write_keys[write_key] = leading

    def _open_app(self, key: str) -> OAuthApp:
        """The app, for this fold to change in place: its own from here on."""
        known = self.apps.get(key)
        opened = OAuthApp(id=intern(key)) if known is None else replace(known)
        self.apps[opened.id] = opened
        current = self._current_apps.get(key)
        if current is not None:
            current.become(opened)
        return opened

    def _name(self, key: str) -> str:
        return key

    def _keep_workspace(self, key: str, event: WorkspaceCreated, version: int) -> None:
        self.workspaces[key] = Workspace(id=key, version=version, name=event.name)

    def _keep_member(self, key: str, event: MemberEvent, version: int) -> None:
        known = self.members.get(key) or Member(id=key)
        self.members[key] = member.evolve(known, event, version)

    def _keep_access_token(
        self, key: str, event: AccessTokenEvent, version: int
    ) -> None:
        known = self.access_tokens.get(key) or AccessToken(id=key)
        self.access_tokens[key] = access_token.evolve(known, event, version)

    def _keep_source_created(self, source: Source, _: SourceCreated, __: int) -> None:
        for write_key in source.write_keys:
            # As in no log of ours: what had the id before has lost its keys.
            self._let_lead(write_key, WriteKey(source=source, live=False))

    def _keep_write_key_added(
        self, source: Source, event: WriteKeyAdded, _: int
    ) -> None:
        """Whoever had the key before, this source has it now."""
        leading = self._leading_to(source) if source.write_keys else None
        if leading is None:
            leading = WriteKey(source=source, live=False)  # until it is settled
        self._let_lead(event.write_key, leading)

    def _keep_write_key_deleted(
        self, source: Source, event: WriteKeyDeleted, _: int
    ) -> None:
        self._let_lead(event.write_key, WriteKey(source=source, live=False))

    def _keep_source_connected(
        self, _: OAuthApp, event: SourceConnected, __: int
    ) -> None:
        """With the source's own copy of its id: there are many of them."""
        source = self.sources.get(event.source_id)
        if source is not None:
            _set(event, "source_id", source.id)

    def _leading_to(self, source: Source) -> WriteKey | None:
        """What the live keys of `source`, as it was kept last, share."""
        for write_key in source.write_keys:
            held = self.write_keys.get(write_key)
            if held is not None and held.source is source:
                return held
        return None

    def _guard_of(self, source: Source) -> CurrentApp | None:
        app_id = source.app_id
        if app_id is None or source.enforcement is _OFF or source.deleted:
            return None
        current = self._current_apps.get(app_id)
        if current is None:
            app = self.apps.get(app_id) or OAuthApp(id=app_id)
            current = self._current_apps[app_id] = CurrentApp(app)
        return current

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
        # In an order of their own: that in which keys came is lost with the sources.
        for keys in in_parts(sorted(set(self._stray_write_keys()))):
            yield _encoder.encode(StrayWriteKeys(keys))
        for apps in in_parts(self.apps.values()):
            yield _encoder.encode(Apps(apps))

    @classmethod
    def of_parts(cls, parts: Iterable[bytes]) -> "RegistryState":
        """The state that has these `parts`; `msgspec.MsgspecError` if they are none."""
        state = cls()
        decoder: msgspec.json.Decoder[_Part] = msgspec.json.Decoder(
            _Part, dec_hook=state._restore_source_ids
        )
        for part in map(decoder.decode, parts):
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
                case StrayWriteKeys():
                    state._restore_stray_write_keys(part.entities)
                case Apps():
                    state._restore_apps(part.entities)
        return state

    def _stray_write_keys(self) -> Iterator[tuple[str, str, bool]]:
        """Those of which the sources do not tell, or tell several things."""
        for write_key, leading in self.write_keys.items():
            if write_key not in leading.source.write_keys:
                yield write_key, leading.source.id, leading.live
        for each in self.sources.values():
            for write_key in each.write_keys:
                leading = self.write_keys[write_key]
                if leading.source is not each:
                    yield write_key, leading.source.id, leading.live

    def _restore_sources(self, sources: list[Source]) -> None:
        """Keep `sources`, and one copy only of what many of them say.

        Their keys with them, while they are in the caches of the processor. It comes
        to `keep_source` for each, in fewer steps: there are many, and nobody was led.
        """
        self.sources.update(zip(map(_id_of, sources), sources, strict=True))
        write_keys, known = self.write_keys, self._current_apps.get
        for each in sources:
            _set(each, "workspace_id", intern(each.workspace_id))
            _set(each, "source_type", intern(each.source_type))
            app_id, guard = each.app_id, None
            if app_id is not None:
                guard = known(app_id)
                _set(each, "app_id", intern(app_id) if guard is None else guard.app.id)
                if guard is None or each.enforcement is _OFF or each.deleted:
                    guard = self._guard_of(each)
            leading = WriteKey(source=each, live=not each.deleted, guard=guard)
            for write_key in each.write_keys:
                write_keys[write_key] = leading

    def _restore_stray_write_keys(self, keys: list[tuple[str, str, bool]]) -> None:
        """Let them lead where they do, whatever the sources say."""
        for write_key, source_id, live in keys:
            source = self.sources.get(source_id) or Source(id=source_id)
            leading = WriteKey(source=source, live=live)
            if write_key in source.write_keys:
                leading = self._leading_to(source) or WriteKey(
                    source=source, live=live, guard=self._guard_of(source)
                )
            self.write_keys[write_key] = leading

    def _restore_source_ids(self, _: type[SourceIds], ids: list[str]) -> SourceIds:
        """As an app has them, with each source's own copy of its id."""
        known = self.sources.get
        return SourceIds(
            [id_ if (kept := known(id_)) is None else kept.id for id_ in ids]
        )

    def _restore_apps(self, apps: list[OAuthApp]) -> None:
        for each in apps:
            _set(each, "id", intern(each.id))
            _set(each, "workspace_id", intern(each.workspace_id))
            _set(each, "honoured", tuple(map(intern, each.honoured)))
            _set(each, "scopes", shared_set(each.scopes))
            _set(each, "kept_keys", shared_set(each.kept_keys))
            _set(each, "keys", {key.kid: key for key in each.keys.values()})
            for key in each.keys.values():
                _set(key, "alg", intern(key.alg))
            self.keep_app(each)

    def dump(self) -> bytes:
        """All `parts` at once: for comparing, and for small states."""
        return b"\n".join(self.parts())

    @classmethod
    def load(cls, dump: bytes) -> "RegistryState":
        """The state of a `dump`; raises as `of_parts` does."""
        return cls.of_parts(dump.splitlines())


class _Misplaced(Exception):
    """An event of another kind than its stream."""


def _nothing(_key: str, _event: Event, _version: int) -> None:
    """No entity is opened for the stream, so there is none to change in place.

    A write key that was claimed is told by the source's own event as well.
    """


_Change: TypeAlias = Callable[[Any, Any, int], None]
_Keep: TypeAlias = Callable[[RegistryState, Any, Any, int], None]
_Folds: TypeAlias = Mapping[type[Event], tuple[_Change, _Keep | None]]
_Opening: TypeAlias = Callable[[RegistryState, str], Any]


def _folds(
    changes: Mapping[type[Event], _Change],
    kept: Mapping[type[Event], _Keep],
) -> _Folds:
    return {kind: (change, kept.get(kind)) for kind, change in changes.items()}


# ruff: noqa: SLF001 - the rest of the class above
_SOURCES = _folds(
    source.AMENDMENTS,
    {
        SourceCreated: RegistryState._keep_source_created,
        WriteKeyAdded: RegistryState._keep_write_key_added,
        WriteKeyDeleted: RegistryState._keep_write_key_deleted,
    },
)
_APPS = _folds(
    oauth_app.AMENDMENTS, {SourceConnected: RegistryState._keep_source_connected}
)
_MEMBERS: _Folds = dict.fromkeys(
    get_args(MemberEvent), (_nothing, RegistryState._keep_member)
)
_ACCESS_TOKENS: _Folds = dict.fromkeys(
    get_args(AccessTokenEvent), (_nothing, RegistryState._keep_access_token)
)

_CATEGORIES: Mapping[str, tuple[_Opening, _Folds]] = {
    "workspace": (
        RegistryState._name,
        {WorkspaceCreated: (_nothing, RegistryState._keep_workspace)},
    ),
    "member": (RegistryState._name, _MEMBERS),
    "access_token": (RegistryState._name, _ACCESS_TOKENS),
    "source": (RegistryState._open_source, _SOURCES),
    "write_key": (RegistryState._name, {WriteKeyClaimed: (_nothing, None)}),
    "oauth_app": (RegistryState._open_app, _APPS),
}
"""What is opened for an event on a stream of that category, and how each of the events
that may stand there is folded: what is kept elsewhere first, then what it changes."""

_UNKNOWN: tuple[_Opening, _Folds] = (RegistryState._name, {})
