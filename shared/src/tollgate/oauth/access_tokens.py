"""Access tokens: RFC 9068 JWTs, minted by the issuer and verified everywhere.

Verifying asks nothing of the clock, so that a verified token can be remembered and
its time judged at each request, as its revocation is.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from sys import intern

import msgspec
from msgspec import UNSET

from tollgate.oauth.claims import (
    AccessTokenClaims,
    InvalidClaims,
    decode_access_token_claims,
    decode_access_token_words,
)
from tollgate.oauth.jws import (
    MalformedJws,
    VerificationKey,
    octets_of,
    read_header,
    sign,
    split,
)
from tollgate.oauth.scopes import format_scope
from tollgate.oauth.signing_keys import SigningKey

LEEWAY = 30.0
"""How far in seconds the clocks of issuer and verifier may differ."""

_TYPE = "at+jwt"
_TYPES = frozenset({_TYPE, "application/at+jwt"})


class TokenRefusal(StrEnum):
    """Why a token is not one of ours, or not now."""

    MALFORMED = "malformed"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    SENDER_CONSTRAINED = "sender_constrained"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


_MALFORMED = TokenRefusal.MALFORMED  # a name of its own: Python 3.11 looks for a
_WRONG_TYPE = TokenRefusal.WRONG_TYPE  # member of an enumeration by a call
_UNKNOWN_KEY = TokenRefusal.UNKNOWN_KEY
_WRONG_ISSUER = TokenRefusal.WRONG_ISSUER
_WRONG_AUDIENCE = TokenRefusal.WRONG_AUDIENCE
_EXPIRED = TokenRefusal.EXPIRED


class VerifiedAccessToken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the issuer said, with its signature checked. It may have expired since.

    `signing_kid` is the issuer's key; `key` and `rev` are as in the claims, and times
    are seconds since the epoch.
    """

    signing_kid: str
    client_id: str
    jti: str
    audiences: frozenset[str]
    scopes: frozenset[str]
    key: str
    rev: int
    iat: float
    exp: float
    nbf: float = 0.0

    def refusal_at(self, now: float, leeway: float = LEEWAY) -> TokenRefusal | None:
        """Why the token is not good at `now` (RFC 7519 §4.1.4, §4.1.5), or nothing."""
        if now >= self.exp + leeway:
            return TokenRefusal.EXPIRED
        if now < self.nbf - leeway:
            return TokenRefusal.NOT_YET_VALID
        return None


class UnverifiedAccessToken(msgspec.Struct, frozen=True, gc=False):
    """A token whose words rule nothing out. Whether it is anybody's is not known."""

    kid: str
    key: VerificationKey
    payload: bytes
    signing_input: bytes
    signature: bytes

    def verify(self) -> VerifiedAccessToken | TokenRefusal:
        """What takes long, and needs nothing but what is here."""
        if not self.key.has_signed(self.signature, self.signing_input):
            return TokenRefusal.BAD_SIGNATURE
        try:
            claims = decode_access_token_claims(self.payload)
        except InvalidClaims:
            return TokenRefusal.MALFORMED
        if claims.cnf is not UNSET:
            return TokenRefusal.SENDER_CONSTRAINED  # RFC 8705 §3, RFC 9449 §7
        if claims.sub != claims.client_id:
            return TokenRefusal.MALFORMED  # a client speaks for itself only
        return VerifiedAccessToken(
            signing_kid=self.kid,
            # The very texts that a view of the logs holds: comparing reads neither.
            client_id=intern(claims.client_id),
            jti=claims.jti,
            audiences=frozenset(_named_by(claims.aud)),
            scopes=frozenset(claims.scope.split(" ")),
            key=intern(claims.key),
            rev=claims.rev,
            iat=claims.iat,
            exp=claims.exp,
            nbf=0.0 if claims.nbf is UNSET else claims.nbf,
        )


def verify_access_token(
    token: bytes | str,
    *,
    keys: Mapping[str, VerificationKey],
    issuer: str,
    audiences: AbstractSet[str] | None,
    over_at: float | None = None,
) -> VerifiedAccessToken | TokenRefusal:
    """What the issuer signed, or why it is none: `read_access_token`, then `verify`."""
    read = read_access_token(
        token, keys=keys, issuer=issuer, audiences=audiences, over_at=over_at
    )
    return read if isinstance(read, TokenRefusal) else read.verify()


def read_access_token(
    token: bytes | str,
    *,
    keys: Mapping[str, VerificationKey],
    issuer: str,
    audiences: AbstractSet[str] | None,
    over_at: float | None = None,
) -> UnverifiedAccessToken | TokenRefusal:
    """Rule out one doubt per line (RFC 9068 §4); time is `refusal_at`'s.

    `keys` are the issuer's own by `kid`. `audiences` are the doors of which the token
    must name one; None is for the issuer, who looks at tokens of every door. A token
    that by its own word is over at `over_at` is refused for that, if that is given.

    What is refused for its own words is refused before its signature is looked at: a
    no needs no proof, and a flood of such tokens costs little (ADR 27).
    """
    if isinstance(token, str):
        token = token.encode("ascii", "replace")
    parts = split(token)
    if parts is None:
        return _MALFORMED
    head, body, signature = parts
    try:
        header = read_header(head)
        payload = octets_of(body)
    except MalformedJws:
        return _MALFORMED
    typ = header.typ
    if typ != _TYPE and (typ or "").lower() not in _TYPES:
        return _WRONG_TYPE
    kid = header.kid or ""
    if kid not in keys:
        return _UNKNOWN_KEY
    try:
        words = decode_access_token_words(payload)
    except InvalidClaims:
        return _MALFORMED
    if words.iss != issuer:
        return _WRONG_ISSUER
    if audiences is not None and audiences.isdisjoint(_named_by(words.aud)):
        return _WRONG_AUDIENCE
    if over_at is not None and over_at >= words.exp + LEEWAY:
        return _EXPIRED
    try:
        octets = octets_of(signature)
    except MalformedJws:
        return _MALFORMED
    key = keys[kid]
    # RFC 8725 §3.1: the key decides on the algorithm, never the token.
    if header.alg not in key.algs:
        return TokenRefusal.BAD_SIGNATURE
    return UnverifiedAccessToken(
        kid, key, payload, token[: -len(signature) - 1], octets
    )


def _named_by(aud: str | tuple[str, ...]) -> tuple[str, ...]:
    return (aud,) if isinstance(aud, str) else aud


def access_token_claims(
    *,
    issuer: str,
    client_id: str,
    audiences: Iterable[str],
    scopes: Iterable[str],
    jti: str,
    key: str,
    rev: int,
    issued_at: int,
    lifetime: int,
) -> AccessTokenClaims:
    """The claims of a new token; `issued_at` and `lifetime` are in whole seconds."""
    return AccessTokenClaims(
        iss=issuer,
        sub=client_id,
        client_id=client_id,
        aud=tuple(audiences),
        iat=issued_at,
        exp=issued_at + lifetime,
        jti=jti,
        scope=format_scope(scopes),
        rev=rev,
        key=key,
    )


def mint_access_token(claims: AccessTokenClaims, key: SigningKey) -> str:
    """The token that says `claims`, signed by the issuer."""
    return sign(key, msgspec.json.encode(claims), typ=_TYPE)
