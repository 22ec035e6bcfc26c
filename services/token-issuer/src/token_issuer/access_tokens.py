"""A new access token, and the fact that it was issued (RFC 9068)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from tollgate.events.issuance import TokenIssued
from tollgate.oauth import base64url
from tollgate.oauth.access_tokens import access_token_to_sign
from tollgate.oauth.claims import AccessTokenClaims
from tollgate.oauth.jws import compact
from tollgate.oauth.public_keys import PublicKey
from tollgate.oauth.scopes import Scope, audiences_of, format_scope
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
    """A token without its signature, which is over `to_sign`; `lifetime` in seconds."""

    to_sign: bytes
    issued: TokenIssued
    scope: str
    lifetime: int

    def signed(self, signature: bytes) -> MintedToken:
        """The token itself."""
        return MintedToken(
            text=compact(self.to_sign, signature),
            issued=self.issued,
            lifetime=self.lifetime,
        )


class TokenDrafts:
    """Drafts tokens of one issuer; `audiences` are the doors that scopes open."""

    def __init__(self, issuer: str, audiences: Mapping[Scope, str]) -> None:
        self._issuer = issuer
        self._audiences = audiences
        self._words: dict[frozenset[str], _Words] = {}

    def draft(
        self,
        *,
        app: OAuthApp,
        key: AppKey,
        scopes: frozenset[str],
        rev: int,
        signing_key: PublicKey,
        now: datetime,
    ) -> DraftedToken:
        """A token for `app`, which proved itself with `key`; `now` in whole seconds.

        The private half of `signing_key` is to sign it.
        """
        words = self._words.get(scopes) or self._words_of(scopes)
        lifetime = min(app.token_lifetime, MAX_LIFETIME)
        start, end, issued_at = _times_of(now, lifetime)
        jti = base64url.encode(random_octets(JTI_BYTES))
        key_claim = key.claim
        claims = AccessTokenClaims(
            iss=self._issuer,
            sub=app.id,
            client_id=app.id,
            aud=words.aud,
            iat=issued_at,
            exp=issued_at + lifetime,
            jti=jti,
            scope=words.scope,
            rev=rev,
            key=key_claim,
        )
        return DraftedToken(
            to_sign=access_token_to_sign(claims, signing_key),
            issued=TokenIssued(
                jti=jti,
                signing_kid=signing_key.kid,
                key=key_claim,
                rev=rev,
                scopes=words.scopes,
                aud=words.aud,
                issued_at=start,
                expires_at=end,
            ),
            scope=words.scope,
            lifetime=lifetime,
        )

    def _words_of(self, scopes: frozenset[str]) -> "_Words":
        """Made once for each set: there are not more than the known scopes allow."""
        scope = format_scope(scopes)
        words = self._words[scopes] = _Words(
            aud=audiences_of(scopes, self._audiences),
            scope=scope,
            scopes=tuple(scope.split(" ")),
        )
        return words


@lru_cache(maxsize=64)
def _times_of(now: datetime, lifetime: int) -> tuple[datetime, datetime, int]:
    """Start and end of a token, and the start in seconds; many are made at a time."""
    start = now.replace(microsecond=0)
    return start, start + timedelta(seconds=lifetime), int(start.timestamp())


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    """How a set of scopes is written in a token and in its event."""

    aud: tuple[str, ...]
    scope: str
    scopes: tuple[str, ...]
