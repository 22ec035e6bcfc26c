"""An administrator's access token as its stream tells it."""

from datetime import date, datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from tollgate.events.registry import (
    AccessTokenEvent,
    AccessTokenIssued,
    AccessTokenRevoked,
    AccessTokenUsed,
)


class AccessToken(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """`version` 0 means that there is no such token."""

    id: str
    version: int = 0
    workspace_id: str = ""
    member_id: str = ""
    name: str = ""
    secret_hash: str = ""
    expires_at: datetime | None = None
    last_used_on: date | None = None
    revoked: bool = False

    @property
    def exists(self) -> bool:
        return self.version > 0 and not self.revoked

    def is_live(self, now: datetime) -> bool:
        """Whether it opens the door at `now`; its member must exist as well."""
        if not self.exists:
            return False
        return self.expires_at is None or now < self.expires_at


def evolve(token: AccessToken, event: AccessTokenEvent, version: int) -> AccessToken:
    """The token after `event`, which stands at `version` of its stream."""
    match event:
        case AccessTokenIssued():
            return AccessToken(
                id=token.id,
                version=version,
                workspace_id=event.workspace_id,
                member_id=event.member_id,
                name=event.name,
                secret_hash=event.secret_hash,
                expires_at=event.expires_at,
            )
        case AccessTokenUsed(day=day):
            return replace(token, version=version, last_used_on=day)
        case AccessTokenRevoked():
            return replace(token, version=version, revoked=True)
        case _:
            assert_never(event)
