"""From a command to the facts that follow, or to the reason why none do."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from app_registry.domain import apps, connections, members, sources
from app_registry.domain.authorization import Caller, actor_of
from app_registry.domain.commands import (
    AddKey,
    AddMember,
    AddWriteKey,
    ChangeRoles,
    Command,
    ConnectApp,
    CreateApp,
    CreateSource,
    DeleteApp,
    DeleteKey,
    DeleteSource,
    DeleteWriteKey,
    DisconnectApp,
    EditApp,
    IssueAccessToken,
    RemoveMember,
    RenameSource,
    RevokeAccessToken,
    SetEnforcement,
)
from app_registry.domain.evidence import Evidence
from app_registry.domain.facts import Facts
from tollgate.registry.source_types import SourceType


def decide(
    command: Command,
    evidence: Evidence,
    *,
    caller: Caller,
    now: datetime,
    types: Mapping[str, SourceType],
) -> Facts:
    """The facts that `command` leads to; none if everything is so already.

    Raises a `DomainError` if it is refused. Pure: `evidence` is all that it sees of the
    registry, and holds afterwards what it relied on.
    """
    actor = actor_of(caller, evidence, now)
    match command:
        case CreateApp():
            return apps.create(command, actor, evidence)
        case EditApp():
            return apps.edit(command, actor, evidence)
        case DeleteApp():
            return apps.delete(command, actor, evidence)
        case AddKey():
            return apps.add_key(command, actor, evidence)
        case DeleteKey():
            return apps.delete_key(command, actor, evidence)
        case CreateSource():
            return sources.create(command, actor, evidence, types)
        case RenameSource():
            return sources.rename(command, actor, evidence)
        case DeleteSource():
            return sources.delete(command, actor, evidence)
        case AddWriteKey():
            return sources.add_write_key(command, actor, evidence)
        case DeleteWriteKey():
            return sources.delete_write_key(command, actor, evidence)
        case ConnectApp():
            return connections.connect(command, actor, evidence, types)
        case DisconnectApp():
            return connections.disconnect(command, actor, evidence)
        case SetEnforcement():
            return connections.set_enforcement(command, actor, evidence)
        case AddMember():
            return members.add(command, actor, evidence)
        case ChangeRoles():
            return members.change_roles(command, actor, evidence)
        case RemoveMember():
            return members.remove(command, actor, evidence)
        case IssueAccessToken():
            return members.issue_access_token(command, actor, evidence, now)
        case RevokeAccessToken():
            return members.revoke_access_token(command, actor, evidence)
        case _:
            assert_never(command)
