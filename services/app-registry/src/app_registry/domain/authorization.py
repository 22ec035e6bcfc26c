"""Who commands, and whether they may."""

from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from app_registry.domain.errors import NotAuthenticated, NotPermitted
from app_registry.domain.evidence import Evidence
from tollgate.oauth.scopes import Scope
from tollgate.registry.roles import Action, Actor, Target, may
from tollgate.registry.streams import app_stream, member_stream


class MemberCaller(msgspec.Struct, frozen=True, kw_only=True):
    """A member, who showed an administrator's access token."""

    member_id: str
    access_token_id: str

    @property
    def stream(self) -> str:
        return member_stream(self.member_id)


class AppCaller(msgspec.Struct, frozen=True, kw_only=True):
    """An app, which showed an OAuth access token for the admin API."""

    app_id: str

    @property
    def stream(self) -> str:
        return app_stream(self.app_id)


Caller: TypeAlias = MemberCaller | AppCaller
"""Whose credential was checked. `stream` names them as the actor in the log."""


def actor_of(caller: Caller, evidence: Evidence, now: datetime) -> Actor:
    """The caller as they are at the moment of the decision."""
    match caller:
        case MemberCaller():
            member = evidence.member(caller.member_id)
            token = evidence.access_token(caller.access_token_id)
            if member.exists and token.is_live(now) and token.member_id == member.id:
                return member
        case AppCaller():
            app = evidence.app(caller.app_id)
            if app.exists and Scope.PUBLIC_API_READ_WRITE in app.scopes:
                return app
        case _:
            assert_never(caller)
    raise NotAuthenticated("the access token is not valid any more")


def require(actor: Actor, action: Action, target: Target = None) -> None:
    if not may(actor, action, target):
        raise NotPermitted(f"your roles do not allow this ({action})")
