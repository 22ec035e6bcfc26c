"""private_key_jwt: an app proves who it is with a signed assertion (RFC 7521, 7523).

In steps, since the key has to be found in between: `read_assertion` says whom the
assertion claims to be from and which key it names, `require_signature` that this key
has signed it, and only then `judge_signed_assertion` believes it or not.
Until the signature is verified every refusal reads the same, whatever the cause.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from msgspec import UNSET

from tollgate.oauth.claims import (
    ClientAssertionClaims,
    InvalidClaims,
    decode_client_assertion_claims,
    seconds_of,
)
from tollgate.oauth.errors import (
    InvalidClient,
    TokenIsExpired,
    TokenUsedBeforeIssued,
)
from tollgate.oauth.jws import (
    BadSignature,
    MalformedJws,
    UnverifiedJws,
    VerificationKey,
    decode,
    verify,
)

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 §2.2."""

MAX_LIFE = timedelta(seconds=60)
LEEWAY = timedelta(seconds=10)
"""How far the clocks of client and issuer may differ."""

_MAX_LIFE = (MAX_LIFE + LEEWAY).total_seconds()
_LEEWAY = LEEWAY.total_seconds()

# RFC 8725 §3.11: no other kind of JWT is taken for an assertion, an access token least
# of all. Every Segment SDK writes "JWT"; the other is from draft-ietf-oauth-rfc7523bis.
_TYPES = frozenset(
    {
        "jwt",
        "application/jwt",
        "client-authentication+jwt",
        "application/client-authentication+jwt",
    }
)


class UnverifiedAssertion(msgspec.Struct, frozen=True):
    """What an assertion says of itself. `client_id` is its `sub`."""

    client_id: str
    kid: str
    jws: UnverifiedJws
    claims: ClientAssertionClaims


class VerifiedAssertion(msgspec.Struct, frozen=True, kw_only=True):
    """The app has signed this, for us, just now.

    Until `expires_at`, leeway included, it could be presented again: its `jti` has to
    be remembered so long.
    """

    client_id: str
    kid: str
    jti: str
    expires_at: datetime


def client_authentication_failed() -> InvalidClient:
    """The one refusal for an unknown app, an unknown key, and a wrong signature."""
    return InvalidClient("client authentication failed")


def read_assertion(form: Mapping[str, str]) -> UnverifiedAssertion:
    """Whom the assertion in `form` claims to be from, or `InvalidClient`."""
    if "client_secret" in form:
        raise InvalidClient("authenticate in one way only, with a client_assertion")
    if "client_assertion" not in form:
        raise InvalidClient("no client_assertion was sent")
    if form.get("client_assertion_type") != CLIENT_ASSERTION_TYPE:
        raise InvalidClient(f"client_assertion_type must be {CLIENT_ASSERTION_TYPE}")
    try:
        jws = decode(form["client_assertion"])
        claims = decode_client_assertion_claims(jws.payload)
    except (MalformedJws, InvalidClaims):
        raise InvalidClient(
            "client_assertion must be a signed JWT with sub, aud, exp and jti"
        ) from None
    if jws.header.kid is None:
        raise InvalidClient("client_assertion must name its key with kid")
    # RFC 7521 §4.2: whoever names the client twice names the same one.
    if form.get("client_id", claims.sub) != claims.sub:
        raise InvalidClient("client_id must be the sub of the client_assertion")
    return UnverifiedAssertion(claims.sub, jws.header.kid, jws, claims)


def require_signature(assertion: UnverifiedAssertion, key: VerificationKey) -> None:
    """Raise `InvalidClient` unless `key` has signed it.

    `key` is the one of that app which the assertion names.
    """
    try:
        verify(assertion.jws, key)
    except BadSignature:
        raise client_authentication_failed() from None


def judge_signed_assertion(
    assertion: UnverifiedAssertion, *, issuer: str, arrived_at: float
) -> VerifiedAssertion:
    """Believe one whose signature is good, or raise an `OAuthError`.

    `arrived_at` is when the request did, in seconds since the epoch; `jti` is the
    caller's to spend. Time is judged last, so that the two refusals that a client
    answers by setting its clock are given only when its clock is the cause.
    """
    _require_type(assertion.jws.header.typ)
    _require_audience(assertion.claims.aud, issuer)
    _require_issuer(assertion.claims, issuer)
    expires = _require_time(assertion.claims, arrived_at)
    return VerifiedAssertion(
        client_id=assertion.client_id,
        kid=assertion.kid,
        jti=assertion.claims.jti,
        expires_at=_end_of(expires),
    )


@lru_cache(maxsize=256)
def _end_of(expires: float) -> datetime:
    """When it is of no use any more; those of one second are many in a burst."""
    return datetime.fromtimestamp(expires, UTC) + LEEWAY


def _require_type(typ: str | None) -> None:
    if typ is not None and typ.lower() not in _TYPES:
        raise InvalidClient("typ must be JWT or client-authentication+jwt")


def _require_audience(aud: str | tuple[str, ...], issuer: str) -> None:
    """The issuer as its only value (RFC 7523bis §3)."""
    only = aud if isinstance(aud, str) or len(aud) != 1 else aud[0]
    if only not in _spellings_of(issuer):
        raise InvalidClient("aud must be the issuer identifier alone")


def _require_issuer(claims: ClientAssertionClaims, issuer: str) -> None:
    """Segment's SDKs send the client, its documentation asks for the issuer."""
    iss = claims.iss
    if iss not in (claims.sub, UNSET) and iss not in _spellings_of(issuer):
        raise InvalidClient("iss must be the client id")


@lru_cache(maxsize=1)
def _spellings_of(issuer: str) -> tuple[str, str]:
    """Node.js may add a slash."""
    return issuer, f"{issuer}/"


def _require_time(claims: ClientAssertionClaims, now: float) -> float:
    """The `exp` of an assertion that is short-lived and of the present moment."""
    try:
        exp = seconds_of(claims.exp)
        iat = None if claims.iat is UNSET else seconds_of(claims.iat)
        nbf = None if claims.nbf is UNSET else seconds_of(claims.nbf)
    except InvalidClaims:
        raise InvalidClient("exp, iat and nbf must be dates") from None
    if iat is not None and not 0 < exp - iat <= _MAX_LIFE:
        raise InvalidClient("the client_assertion may live for 60 seconds at most")
    latest = now + _LEEWAY
    if (iat is not None and iat > latest) or (nbf is not None and nbf > latest):
        raise TokenUsedBeforeIssued
    if exp <= now - _LEEWAY:
        raise TokenIsExpired
    if exp > now + _MAX_LIFE:
        raise InvalidClient("the client_assertion may live for 60 seconds at most")
    return exp
