"""The claims that we mint and those that clients assert, as types (RFC 7519, 9068).

Both decoders take JSON that two readers could disagree on, or of another shape, for
no claims at all.
"""

from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tollgate.oauth.identifiers import Identifier
from tollgate.strict_json import AmbiguousJson, decode_strictly

LATEST = 253_402_300_799
"""The last second of the year 9999: nobody means a later one."""

NumericDate: TypeAlias = (
    Annotated[int, Meta(ge=0, le=LATEST)] | Annotated[float, Meta(ge=0, le=LATEST)]
)
"""RFC 7519 §2: seconds since the epoch, as a JSON number, whole or not."""

LenientDate: TypeAlias = NumericDate | Annotated[str, Meta(pattern=r"\A[0-9]{1,12}\Z")]
"""Segment's sample script sends the number as a string; of ASCII digits, no others."""

_T = TypeVar("_T")


class InvalidClaims(Exception):
    """The payload does not hold the claims that it should."""


class AccessTokenClaims(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False
):
    """RFC 9068 §2.2, and two of ours.

    `key` names the client key that the token was minted with and the version of the
    event that added it (`<kid>/<version>`); `rev` is the app's version in the tokens
    log known at minting. A token with `cnf` is bound to a key that we do not ask for.
    """

    iss: str
    sub: Identifier
    client_id: Identifier
    aud: str | tuple[str, ...]
    iat: NumericDate
    exp: NumericDate
    jti: Identifier
    scope: Annotated[
        str,
        Meta(pattern=r"\A[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*\Z"),
    ]
    rev: Annotated[int, Meta(ge=0, le=2**53)]
    key: Annotated[str, Meta(pattern=r"\A[^\x00/]{1,255}/[1-9][0-9]{0,15}\Z")]
    nbf: NumericDate | UnsetType = UNSET
    cnf: Any | UnsetType = UNSET


class ClientAssertionClaims(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7523 §3 as `WIRE` says that clients send it."""

    sub: Identifier
    aud: str | tuple[str, ...]
    exp: LenientDate
    jti: Identifier
    iss: str | UnsetType = UNSET
    iat: LenientDate | UnsetType = UNSET
    nbf: LenientDate | UnsetType = UNSET


def decode_access_token_claims(payload: bytes) -> AccessTokenClaims:
    return _decode(payload, _access_token_decoder)


def decode_client_assertion_claims(payload: bytes) -> ClientAssertionClaims:
    return _decode(payload, _client_assertion_decoder)


def seconds_of(date: float | str) -> float:
    """The moment that a `LenientDate` names, or `InvalidClaims` if it is absurd."""
    seconds = float(date)
    if seconds > LATEST:
        raise InvalidClaims("a date is after the year 9999")
    return seconds


_access_token_decoder = msgspec.json.Decoder(AccessTokenClaims)
_client_assertion_decoder = msgspec.json.Decoder(ClientAssertionClaims)


def _decode(payload: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decode_strictly(payload, decoder)
    except (AmbiguousJson, msgspec.ValidationError):
        # From nothing: the message of msgspec may quote the claims.
        raise InvalidClaims("the claims are malformed") from None
