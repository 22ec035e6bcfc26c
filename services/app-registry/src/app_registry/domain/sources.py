"""The rules of sources and their write keys."""

from collections.abc import Mapping

from app_registry.domain.authorization import require
from app_registry.domain.commands import (
    AddWriteKey,
    CreateSource,
    DeleteSource,
    DeleteWriteKey,
    RenameSource,
)
from app_registry.domain.errors import (
    NoSuchWriteKey,
    SourceStillConnected,
    TooManyWriteKeys,
    UnknownSourceType,
    WriteKeyTaken,
)
from app_registry.domain.evidence import Evidence, refuse_another_version
from app_registry.domain.facts import Facts
from app_registry.domain.texts import require_name, require_write_key
from tollgate.events.registry import (
    SourceCreated,
    SourceDeleted,
    SourceRenamed,
    WriteKeyAdded,
    WriteKeyClaimed,
    WriteKeyDeleted,
)
from tollgate.registry.roles import Action, Actor, SourceTarget
from tollgate.registry.source import Source
from tollgate.registry.source_types import SourceType, kind_of
from tollgate.registry.streams import source_stream, write_key_stream

MAX_WRITE_KEYS = 20


def create(
    command: CreateSource,
    actor: Actor,
    evidence: Evidence,
    types: Mapping[str, SourceType],
) -> Facts:
    known = types.get(command.source_type)
    if known is None:
        raise UnknownSourceType("GET /v1/source-types lists the types there are")
    require(actor, Action.CREATE_SOURCE, SourceTarget(kind=known.kind))
    require_name(command.name)
    evidence.source(command.source_id)
    created = SourceCreated(
        workspace_id=actor.workspace_id,
        name=command.name,
        source_type=command.source_type,
    )
    return [(source_stream(command.source_id), created)]


def rename(command: RenameSource, actor: Actor, evidence: Evidence) -> Facts:
    source = _editable(command.source_id, actor, evidence)
    refuse_another_version(source, command.if_version)
    if command.name == source.name:
        return []
    require_name(command.name)
    return [(source_stream(source.id), SourceRenamed(name=command.name))]


def delete(command: DeleteSource, actor: Actor, evidence: Evidence) -> Facts:
    source = _editable(command.source_id, actor, evidence)
    refuse_another_version(source, command.if_version)
    if source.app_id is not None:
        raise SourceStillConnected("disconnect its OAuth app before you delete it")
    return [(source_stream(source.id), SourceDeleted())]


def add_write_key(command: AddWriteKey, actor: Actor, evidence: Evidence) -> Facts:
    source = _editable(command.source_id, actor, evidence)
    refuse_another_version(source, command.if_version)
    require_write_key(command.write_key)
    if evidence.is_claimed(command.write_key):
        raise WriteKeyTaken("this write key is in use, or was: it cannot be used again")
    if len(source.write_keys) >= MAX_WRITE_KEYS:
        raise TooManyWriteKeys(f"a source has at most {MAX_WRITE_KEYS} write keys")
    return [
        (write_key_stream(command.write_key), WriteKeyClaimed(source_id=source.id)),
        (source_stream(source.id), WriteKeyAdded(write_key=command.write_key)),
    ]


def delete_write_key(
    command: DeleteWriteKey, actor: Actor, evidence: Evidence
) -> Facts:
    source = _editable(command.source_id, actor, evidence)
    refuse_another_version(source, command.if_version)
    if command.write_key not in source.write_keys:
        raise NoSuchWriteKey("the source has no such write key")
    return [(source_stream(source.id), WriteKeyDeleted(write_key=command.write_key))]


def _editable(source_id: str, actor: Actor, evidence: Evidence) -> Source:
    source = evidence.source_of(actor.workspace_id, source_id)
    target = SourceTarget(id=source.id, kind=kind_of(source.source_type))
    require(actor, Action.EDIT_SOURCE, target)
    return source
