"""A new access token, and the fact that it was issued (RFC 9068)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from tollgate.events.issuance import TokenIssued
from tollgate.oauth import base64url
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.claims import AccessTokenClaims
from tollgate.oauth.scopes import Scope, audiences_of
from tollgate.oauth.signing_keys import SigningKey
from tollgate.random_pool import random_octets
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


class DraftedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that nobody has signed yet; `lifetime` in seconds."""

    claims: AccessTokenClaims
    issued: TokenIssued
    lifetime: int

    def signed(self, key: SigningKey) -> MintedToken:
        """The token itself; `key` is the one that it was drafted for."""
        return MintedToken(
            text=mint_access_token(self.claims, key),
            issued=self.issued,
            lifetime=self.lifetime,
        )


def draft(
    *,
    issuer: str,
    app: OAuthApp,
    key: AppKey,
    scopes: frozenset[str],
    rev: int,
    signing_kid: str,
    audiences: Mapping[Scope, str],
    now: datetime,
) -> DraftedToken:
    """A token for `app`, which proved itself with `key`; `now` in whole seconds."""
    issued_at = int(now.timestamp())
    lifetime = min(app.token_lifetime, MAX_LIFETIME)
    claims = access_token_claims(
        issuer=issuer,
        client_id=app.id,
        audiences=audiences_of(scopes, audiences),
        scopes=scopes,
        jti=base64url.encode(random_octets(JTI_BYTES)),
        key=key.claim,
        rev=rev,
        issued_at=issued_at,
        lifetime=lifetime,
    )
    start = datetime.fromtimestamp(issued_at, UTC)
    return DraftedToken(
        claims=claims,
        issued=TokenIssued(
            jti=claims.jti,
            signing_kid=signing_kid,
            key=claims.key,
            rev=rev,
            scopes=tuple(claims.scope.split(" ")),
            aud=tuple(claims.aud),
            issued_at=start,
            expires_at=start + timedelta(seconds=lifetime),
        ),
        lifetime=lifetime,
    )
