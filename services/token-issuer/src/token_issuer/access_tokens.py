"""A new access token, and the fact that it was issued (RFC 9068)."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from token_issuer.bursts import Burst
from tollgate.events.issuance import TokenIssued
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.scopes import Scope, audiences_of
from tollgate.oauth.signing_keys import SigningKey
from tollgate.registry.oauth_app import AppKey, OAuthApp

MAX_LIFETIME = 30 * 86_400
"""Seconds. Node.js clients spin from 49.7 days on, whatever an event may say."""

JTI_BYTES = 20
"""160 random bits (RFC 6749 §10.10)."""


class MintedToken(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is the token itself and goes to the client only; `lifetime` in seconds."""

    text: str
    issued: TokenIssued
    lifetime: int

    def __repr__(self) -> str:
        return f"MintedToken(jti={self.issued.jti!r})"


async def mint(
    *,
    issuer: str,
    app: OAuthApp,
    key: AppKey,
    scopes: frozenset[str],
    rev: int,
    signing_key: SigningKey,
    signing: Burst,
    audiences: Mapping[Scope, str],
    now: datetime,
) -> MintedToken:
    """A token for `app`, which proved itself with `key`; `now` in whole seconds.

    `signing` is what the signatures of all tokens are made in.
    """
    issued_at = int(now.timestamp())
    lifetime = min(app.token_lifetime, MAX_LIFETIME)
    claims = access_token_claims(
        issuer=issuer,
        client_id=app.id,
        audiences=audiences_of(scopes, audiences),
        scopes=scopes,
        jti=secrets.token_urlsafe(JTI_BYTES),
        key=key.claim,
        rev=rev,
        issued_at=issued_at,
        lifetime=lifetime,
    )
    start = datetime.fromtimestamp(issued_at, UTC)
    return MintedToken(
        text=await signing.run(mint_access_token, claims, signing_key),
        issued=TokenIssued(
            jti=claims.jti,
            signing_kid=signing_key.kid,
            key=claims.key,
            rev=rev,
            scopes=tuple(claims.scope.split(" ")),
            aud=tuple(claims.aud),
            issued_at=start,
            expires_at=start + timedelta(seconds=lifetime),
        ),
        lifetime=lifetime,
    )
