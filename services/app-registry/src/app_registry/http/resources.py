"""How things look in answers."""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from app_registry.domain.apps import DAY
from app_registry.handling import EntityT, Outcome
from tollgate.events.registry import Enforcement, Grant
from tollgate.http.bodies import json_response
from tollgate.http.etags import etag_of
from tollgate.registry.access_token import AccessToken
from tollgate.registry.member import Member
from tollgate.registry.oauth_app import AppKey, OAuthApp
from tollgate.registry.roles import Action, Actor, SourceTarget, may
from tollgate.registry.source import Source
from tollgate.registry.source_types import SourceKind, kind_of

LIFETIMES: Mapping[str, int] = MappingProxyType(
    {
        "1d": DAY,
        "2d": 2 * DAY,
        "3d": 3 * DAY,
        "1w": 7 * DAY,
        "2w": 14 * DAY,
        "3w": 21 * DAY,
        "30d": 30 * DAY,
    }
)
"""How a token lifetime is written, and its seconds."""

_WRITTEN = {seconds: text for text, seconds in LIFETIMES.items()}


class WorkspaceResource(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str


class MemberResource(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    email: str
    roles: tuple["RoleResource", ...]
    version: int


class RoleResource(msgspec.Struct, frozen=True, kw_only=True):
    """`sources` is null for a role that is held for all of them."""

    role: str
    sources: tuple[str, ...] | None


class AccessTokenResource(msgspec.Struct, frozen=True, kw_only=True):
    """`access_token` is the whole token, shown in the answer that made it only."""

    id: str
    member_id: str
    name: str
    expires_at: datetime | None
    last_used_on: date | None
    version: int
    access_token: str | UnsetType = UNSET


class SourceTypeResource(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    name: str
    kind: SourceKind
    oauth: bool


class SourceResource(msgspec.Struct, frozen=True, kw_only=True):
    """`write_keys` are left out for whoever may not see them."""

    id: str
    name: str
    type: str
    app_id: str | None
    enforcement: Enforcement
    version: int
    write_keys: tuple[str, ...] | UnsetType = UNSET


class KeyResource(msgspec.Struct, frozen=True, kw_only=True):
    kid: str
    name: str
    alg: str
    pem: str


class AppResource(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the app's `client_id`."""

    id: str
    name: str
    token_lifetime: str
    scopes: tuple[str, ...]
    keys: tuple[KeyResource, ...]
    sources: tuple[str, ...]
    version: int


def member_resource(member: Member) -> MemberResource:
    return MemberResource(
        id=member.id,
        name=member.name,
        email=member.email,
        roles=tuple(_role_resource(grant) for grant in member.grants),
        version=member.version,
    )


def _role_resource(grant: Grant) -> RoleResource:
    return RoleResource(role=grant.role, sources=grant.sources)


def access_token_resource(
    token: AccessToken, *, text: str | UnsetType = UNSET
) -> AccessTokenResource:
    return AccessTokenResource(
        id=token.id,
        member_id=token.member_id,
        name=token.name,
        expires_at=token.expires_at,
        last_used_on=token.last_used_on,
        version=token.version,
        access_token=text,
    )


def source_target(source: Source) -> SourceTarget:
    return SourceTarget(id=source.id, kind=kind_of(source.source_type))


def source_resource(source: Source, *, seen_by: Actor) -> SourceResource:
    sees_keys = may(seen_by, Action.SEE_WRITE_KEYS, source_target(source))
    return SourceResource(
        id=source.id,
        name=source.name,
        type=source.source_type,
        app_id=source.app_id,
        enforcement=source.enforcement,
        version=source.version,
        write_keys=source.write_keys if sees_keys else UNSET,
    )


def key_resource(key: AppKey) -> KeyResource:
    return KeyResource(kid=key.kid, name=key.name, alg=key.alg, pem=key.pem)


def app_resource(app: OAuthApp) -> AppResource:
    return AppResource(
        id=app.id,
        name=app.name,
        token_lifetime=_WRITTEN.get(app.token_lifetime, f"{app.token_lifetime}s"),
        scopes=tuple(sorted(app.scopes)),
        keys=tuple(key_resource(key) for key in app.keys.values()),
        sources=tuple(sorted(app.sources)),
        version=app.version,
    )


def answer(
    outcome: Outcome[EntityT],
    body: msgspec.Struct,
    *,
    status: int = 200,
    location: str | None = None,
) -> web.Response:
    """What a command came to, with the entity tag that the next one may name."""
    headers = {"ETag": etag_of(outcome.entity.version), **replay_header(outcome)}
    if location is not None:
        headers["Location"] = location
    return json_response(body, status=status, headers=headers)


def gone(outcome: Outcome[EntityT]) -> web.Response:
    return web.Response(status=204, headers=replay_header(outcome))


def replay_header(outcome: Outcome[EntityT]) -> dict[str, str]:
    """Says that the answer is that of an earlier try with the same key."""
    return {"Idempotency-Replayed": "true"} if outcome.replayed else {}
