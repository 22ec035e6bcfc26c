"""Who is behind a bearer token of the admin API, wherever that API is served.

A member shows an access token of their own (`tg_…`), an app an OAuth access token for
the admin API's door. Both are judged by what the logs say in memory, so that a service
goes on authenticating while the owner of a log is down.
"""

from datetime import datetime
from enum import Enum

import msgspec

from tollgate.oauth.access_tokens import TokenRefusal, verify_access_token
from tollgate.oauth.public_keys import PublicKey, recorded_public_key
from tollgate.oauth.scopes import Scope
from tollgate.registry.administrators import authenticate, is_access_token
from tollgate.registry.roles import Actor
from tollgate.registry.state import RegistryState
from tollgate.registry.streams import app_stream, member_stream
from tollgate.tokens.state import TokensState


class AuthenticatedActor(msgspec.Struct, frozen=True, kw_only=True):
    """`access_token_id` is that of a member's token; None where an app acts."""

    actor: Actor
    stream: str
    access_token_id: str | None = None


class Doubt(Enum):
    """Why a bearer token opens nothing. Only `UNKNOWN` may have another answer in a
    view that is read anew."""

    UNKNOWN = "unknown"
    INVALID = "invalid"
    INSUFFICIENT_SCOPE = "insufficient_scope"


def authenticate_bearer(
    bearer: str,
    *,
    registry: RegistryState,
    tokens: TokensState,
    issuer: str,
    audience: str,
    now: datetime,
) -> AuthenticatedActor | Doubt:
    """Who shows `bearer` at `now`; rule out one doubt after another."""
    if is_access_token(bearer):
        return _member(bearer, registry, now)
    token = verify_access_token(
        bearer, keys=verification_keys(tokens), issuer=issuer, audiences={audience}
    )
    if token is TokenRefusal.UNKNOWN_KEY:
        return Doubt.UNKNOWN
    if isinstance(token, TokenRefusal):
        return Doubt.INVALID
    if not tokens.signing_keys[token.signing_kid].outlives(token.exp):
        return Doubt.INVALID
    if token.refusal_at(now.timestamp()) is not None or tokens.is_revoked(
        client_id=token.client_id,
        jti=token.jti,
        key=token.key,
        rev=token.rev,
        iat=token.iat,
    ):
        return Doubt.INVALID
    app = registry.apps.get(token.client_id)
    if app is None or not app.honours(token.key):
        return Doubt.UNKNOWN
    if not app.exists:
        return Doubt.INVALID
    if Scope.PUBLIC_API_READ_WRITE not in token.scopes & app.scopes:
        return Doubt.INSUFFICIENT_SCOPE
    return AuthenticatedActor(actor=app, stream=app_stream(app.id))


def verification_keys(tokens: TokensState) -> dict[str, PublicKey]:
    """The issuer's keys by `kid`; a compromised one is none."""
    return {
        key.kid: recorded_public_key(key.pem, key.alg)
        for key in tokens.signing_keys.values()
        if key.verifies
    }


def _member(
    bearer: str, registry: RegistryState, now: datetime
) -> AuthenticatedActor | Doubt:
    known = authenticate(registry, bearer, now)
    if known is None:
        return Doubt.UNKNOWN
    return AuthenticatedActor(
        actor=known.member,
        stream=member_stream(known.member.id),
        access_token_id=known.access_token.id,
    )
