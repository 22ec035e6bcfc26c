"""A source of tracking events as its stream tells it."""

from sys import intern
from typing import assert_never

import msgspec
from msgspec.structs import replace

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
    # What happens most often comes first: a log is folded at every start.
    match event:
        case WriteKeyAdded(write_key=write_key):
            keys = (*source.write_keys, write_key)
            return replace(source, version=version, write_keys=keys)
        case OAuthAppConnected(app_id=app_id):
            return replace(source, version=version, app_id=intern(app_id))
        case EnforcementChanged(mode=mode):
            return replace(source, version=version, enforcement=mode)
        case SourceCreated():
            return Source(
                id=source.id,
                version=version,
                workspace_id=intern(event.workspace_id),
                name=event.name,
                source_type=intern(event.source_type),
            )
        case SourceRenamed(name=name):
            return replace(source, version=version, name=name)
        case WriteKeyDeleted(write_key=write_key):
            keys = tuple(key for key in source.write_keys if key != write_key)
            return replace(source, version=version, write_keys=keys)
        case OAuthAppDisconnected():
            return replace(source, version=version, app_id=None)
        case SourceDeleted():
            return replace(source, version=version, deleted=True)
        case _:
            assert_never(event)
