"""A member of a workspace as its stream tells it."""

from typing import assert_never

import msgspec
from msgspec.structs import replace

from tollgate.events.registry import (
    Grant,
    MemberAdded,
    MemberEvent,
    MemberRemoved,
    MemberRolesChanged,
    Role,
)


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """`version` 0 means that there is no such member."""

    id: str
    version: int = 0
    workspace_id: str = ""
    name: str = ""
    email: str = ""
    grants: tuple[Grant, ...] = ()
    removed: bool = False

    @property
    def exists(self) -> bool:
        return self.version > 0 and not self.removed

    @property
    def is_owner(self) -> bool:
        return self.exists and any(
            grant.role is Role.WORKSPACE_OWNER for grant in self.grants
        )


def evolve(member: Member, event: MemberEvent, version: int) -> Member:
    """The member after `event`, which stands at `version` of its stream."""
    match event:
        case MemberAdded():
            return Member(
                id=member.id,
                version=version,
                workspace_id=event.workspace_id,
                name=event.name,
                email=event.email,
                grants=event.grants,
            )
        case MemberRolesChanged(grants=grants):
            return replace(member, version=version, grants=grants)
        case MemberRemoved():
            return replace(member, version=version, removed=True)
        case _:
            assert_never(event)
