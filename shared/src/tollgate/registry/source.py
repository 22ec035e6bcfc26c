"""A source of tracking events as its stream tells it."""

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

import msgspec
from msgspec.structs import force_setattr as _set
from msgspec.structs import replace

from tollgate.events import Event
from tollgate.events.registry import (
    Enforcement,
    EnforcementChanged,
    OAuthAppConnected,
    OAuthAppDisconnected,
    SourceCreated,
    SourceDeleted,
    SourceEvent,
    SourceRenamed,
    WriteKeyAdded,
    WriteKeyDeleted,
)


class Source(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """`version` 0 means that there is no such source.

    `write_keys` are those in use, oldest first.
    """

    id: str
    version: int = 0
    workspace_id: str = ""
    name: str = ""
    source_type: str = ""
    write_keys: tuple[str, ...] = ()
    app_id: str | None = None
    enforcement: Enforcement = Enforcement.OFF
    deleted: bool = False

    @property
    def exists(self) -> bool:
        return self.version > 0 and not self.deleted


def evolve(source: Source, event: SourceEvent, version: int) -> Source:
    """The source after `event`, which stands at `version` of its stream."""
    changed = replace(source)
    AMENDMENTS[type(event)](changed, event, version)
    return changed


def _created(source: Source, event: SourceCreated, version: int) -> None:
    is_new = source.version == 0  # and as it begins: any event sets the version
    _set(source, "version", version)
    _set(source, "workspace_id", intern(event.workspace_id))
    _set(source, "name", event.name)
    _set(source, "source_type", intern(event.source_type))
    if not is_new:
        _set(source, "write_keys", ())
        _set(source, "app_id", None)
        _set(source, "enforcement", Enforcement.OFF)
        _set(source, "deleted", False)


def _renamed(source: Source, event: SourceRenamed, version: int) -> None:
    _set(source, "version", version)
    _set(source, "name", event.name)


def _deleted(source: Source, _: SourceDeleted, version: int) -> None:
    _set(source, "version", version)
    _set(source, "deleted", True)


def _write_key_added(source: Source, event: WriteKeyAdded, version: int) -> None:
    _set(source, "version", version)
    _set(source, "write_keys", (*source.write_keys, event.write_key))


def _write_key_deleted(source: Source, event: WriteKeyDeleted, version: int) -> None:
    keys = tuple(key for key in source.write_keys if key != event.write_key)
    _set(source, "version", version)
    _set(source, "write_keys", keys)


def _connected(source: Source, event: OAuthAppConnected, version: int) -> None:
    _set(source, "version", version)
    _set(source, "app_id", intern(event.app_id))


def _disconnected(source: Source, _: OAuthAppDisconnected, version: int) -> None:
    _set(source, "version", version)
    _set(source, "app_id", None)


def _enforcement_changed(
    source: Source, event: EnforcementChanged, version: int
) -> None:
    _set(source, "version", version)
    _set(source, "enforcement", event.mode)


AMENDMENTS: Mapping[type[Event], Callable[[Source, Any, int], None]] = {
    SourceCreated: _created,
    SourceRenamed: _renamed,
    SourceDeleted: _deleted,
    WriteKeyAdded: _write_key_added,
    WriteKeyDeleted: _write_key_deleted,
    OAuthAppConnected: _connected,
    OAuthAppDisconnected: _disconnected,
    EnforcementChanged: _enforcement_changed,
}
"""What each event changes of a source in place: of one that nobody has seen yet."""
