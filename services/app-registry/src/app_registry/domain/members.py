"""The rules of members and of their access tokens: owners' business."""

from datetime import datetime

from app_registry.domain.authorization import require
from app_registry.domain.commands import (
    AddMember,
    ChangeRoles,
    IssueAccessToken,
    RemoveMember,
    RevokeAccessToken,
)
from app_registry.domain.errors import (
    LastOwner,
    UnacceptableExpiry,
    UnacceptableRoles,
)
from app_registry.domain.evidence import Evidence, refuse_another_version
from app_registry.domain.facts import Facts
from app_registry.domain.texts import require_email, require_name
from tollgate.events.registry import (
    AccessTokenIssued,
    AccessTokenRevoked,
    Grant,
    MemberAdded,
    MemberRemoved,
    MemberRolesChanged,
    Role,
)
from tollgate.registry.member import Member
from tollgate.registry.roles import Action, Actor
from tollgate.registry.streams import access_token_stream, member_stream

MAX_GRANTS = 20
MAX_SOURCES_OF_GRANT = 500

_OF_THE_WHOLE_WORKSPACE = frozenset({Role.WORKSPACE_OWNER, Role.WORKSPACE_MEMBER})


def add(command: AddMember, actor: Actor, evidence: Evidence) -> Facts:
    require(actor, Action.MANAGE_MEMBERS)
    require_name(command.name)
    require_email(command.email)
    _require_grants(command.grants, actor, evidence)
    evidence.member(command.member_id)
    added = MemberAdded(
        workspace_id=actor.workspace_id,
        name=command.name,
        email=command.email,
        grants=command.grants,
    )
    return [(member_stream(command.member_id), added)]


def change_roles(command: ChangeRoles, actor: Actor, evidence: Evidence) -> Facts:
    require(actor, Action.MANAGE_MEMBERS)
    member = evidence.member_of(actor.workspace_id, command.member_id)
    refuse_another_version(member, command.if_version)
    _require_grants(command.grants, actor, evidence)
    if command.grants == member.grants:
        return []
    if not any(grant.role is Role.WORKSPACE_OWNER for grant in command.grants):
        _require_another_owner(member, evidence)
    return [(member_stream(member.id), MemberRolesChanged(grants=command.grants))]


def remove(command: RemoveMember, actor: Actor, evidence: Evidence) -> Facts:
    require(actor, Action.MANAGE_MEMBERS)
    member = evidence.member_of(actor.workspace_id, command.member_id)
    refuse_another_version(member, command.if_version)
    _require_another_owner(member, evidence)
    return [(member_stream(member.id), MemberRemoved())]


def issue_access_token(
    command: IssueAccessToken, actor: Actor, evidence: Evidence, now: datetime
) -> Facts:
    require(actor, Action.MANAGE_ACCESS_TOKENS)
    member = evidence.member_of(actor.workspace_id, command.member_id)
    require_name(command.name)
    if command.expires_at is not None and command.expires_at <= now:
        raise UnacceptableExpiry("the access token would have expired already")
    evidence.access_token(command.token_id)
    issued = AccessTokenIssued(
        workspace_id=member.workspace_id,
        member_id=member.id,
        name=command.name,
        secret_hash=command.secret_hash,
        expires_at=command.expires_at,
    )
    return [(access_token_stream(command.token_id), issued)]


def revoke_access_token(
    command: RevokeAccessToken, actor: Actor, evidence: Evidence
) -> Facts:
    require(actor, Action.MANAGE_ACCESS_TOKENS)
    token = evidence.access_token_of(actor.workspace_id, command.token_id)
    refuse_another_version(token, command.if_version)
    return [(access_token_stream(token.id), AccessTokenRevoked())]


def _require_grants(
    grants: tuple[Grant, ...], actor: Actor, evidence: Evidence
) -> None:
    if not 1 <= len(grants) <= MAX_GRANTS:
        raise UnacceptableRoles(f"a member has 1 to {MAX_GRANTS} roles")
    if len(set(grants)) < len(grants):
        raise UnacceptableRoles("a role is given twice")
    for grant in grants:
        if grant.sources is None:
            continue
        if grant.role in _OF_THE_WHOLE_WORKSPACE:
            raise UnacceptableRoles(f"{grant.role} is not limited to sources")
        if not 1 <= len(grant.sources) <= MAX_SOURCES_OF_GRANT:
            raise UnacceptableRoles(
                f"a role is limited to 1 to {MAX_SOURCES_OF_GRANT} sources, or to none"
                " in particular (null)"
            )
        if len(set(grant.sources)) < len(grant.sources):
            raise UnacceptableRoles("a source is listed twice")
        for source_id in grant.sources:
            evidence.source_of(actor.workspace_id, source_id)


def _require_another_owner(member: Member, evidence: Evidence) -> None:
    if member.is_owner and evidence.another_owner(member) is None:
        raise LastOwner("make somebody else an owner first")
