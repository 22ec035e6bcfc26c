"""How a workspace begins: by the operator's hand, with a first owner.

Everything later is commanded by a member. The operator may also add an owner to a
workspace that lost its own.
"""

from datetime import datetime

import msgspec

from app_registry.domain.errors import NoSuchWorkspace, UnacceptableExpiry
from app_registry.domain.evidence import Evidence
from app_registry.domain.facts import Facts
from app_registry.domain.texts import require_email, require_name
from tollgate.events.registry import (
    AccessTokenIssued,
    Grant,
    MemberAdded,
    Role,
    WorkspaceCreated,
)
from tollgate.registry.streams import (
    access_token_stream,
    member_stream,
    workspace_stream,
)


class AddOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Make somebody an owner and give them an access token.

    With `workspace_name` the workspace is made as well, else it must be there.
    """

    workspace_id: str
    workspace_name: str | None = None
    member_id: str
    name: str
    email: str
    token_id: str
    token_name: str
    secret_hash: str
    expires_at: datetime | None = None


def add_owner(command: AddOwner, evidence: Evidence, now: datetime) -> Facts:
    """The facts that follow, or a `DomainError`. Nobody needs to be asked."""
    require_name(command.name)
    require_email(command.email)
    require_name(command.token_name)
    if command.expires_at is not None and command.expires_at <= now:
        raise UnacceptableExpiry("the access token would have expired already")
    known = evidence.workspace(command.workspace_id)
    facts = []
    if command.workspace_name is not None:
        require_name(command.workspace_name)
        created = WorkspaceCreated(name=command.workspace_name)
        facts.append((workspace_stream(command.workspace_id), created))
    elif known is None:
        raise NoSuchWorkspace("there is no such workspace")
    evidence.member(command.member_id)
    evidence.access_token(command.token_id)
    added = MemberAdded(
        workspace_id=command.workspace_id,
        name=command.name,
        email=command.email,
        grants=(Grant(role=Role.WORKSPACE_OWNER),),
    )
    issued = AccessTokenIssued(
        workspace_id=command.workspace_id,
        member_id=command.member_id,
        name=command.token_name,
        secret_hash=command.secret_hash,
        expires_at=command.expires_at,
    )
    return [
        *facts,
        (member_stream(command.member_id), added),
        (access_token_stream(command.token_id), issued),
    ]
