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

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]

_T = TypeVar("_T")

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises where a document is not what it is to decode."""


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


class AccessTokenWords(msgspec.Struct, frozen=True, gc=False):
    """What a token says of itself that is enough for a no (ADR 27).

    Where a member stands twice this has the last of them, and a yes has neither.
    """

    iss: str
    aud: str | tuple[str, ...]
    exp: NumericDate


class ClientAssertionClaims(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7523 §3, in the order in which Segment's SDKs write it.

    `sub` and `jti` are each an `Identifier` when they come from the decoder below: to
    have msgspec look for U+0000 costs twice as much as all that it does besides.
    """

    iss: str | UnsetType = UNSET
    sub: _Name
    aud: str | tuple[str, ...]
    iat: LenientDate | UnsetType = UNSET
    exp: LenientDate
    jti: _Name
    nbf: LenientDate | UnsetType = UNSET


def decode_access_token_words(payload: bytes) -> AccessTokenWords:
    """The words alone, cheaply. Whether the rest is sound is still to be asked."""
    try:
        return _access_token_words(payload)
    except _UNDECODABLE:
        raise InvalidClaims("the claims are malformed") from None


def decode_access_token_claims(payload: bytes) -> AccessTokenClaims:
    """The claims, if nobody could read other ones.

    What comes out of msgspec as it went in has no member twice and nothing that
    msgspec overlooks, so that no second reader need be asked: the tokens of our issuer.
    """
    try:
        claims = _access_token_claims(payload)
    except _UNDECODABLE:
        pass  # which the strict reader tells apart
    else:
        if claims.cnf is UNSET and _encode(claims) == payload:
            return claims
    return _decode(payload, _access_token_decoder)


def decode_client_assertion_claims(payload: bytes) -> ClientAssertionClaims:
    """As `decode_access_token_claims`, for what Segment's SDKs write."""
    try:
        claims = _client_assertion_claims(payload)
        is_plain = _encode(claims) == payload
    except _UNDECODABLE:
        is_plain = False
    if not is_plain:
        claims = _decode(payload, _client_assertion_decoder)
    if "\0" in claims.sub or "\0" in claims.jti:
        raise InvalidClaims("the claims are malformed")
    return claims


def seconds_of(date: float | str) -> float:
    """The moment that a `LenientDate` names, or `InvalidClaims` if it is absurd."""
    seconds = float(date)
    if seconds > LATEST:
        raise InvalidClaims("a date is after the year 9999")
    return seconds


_access_token_decoder = msgspec.json.Decoder(AccessTokenClaims)
_access_token_claims = _access_token_decoder.decode
_access_token_words = msgspec.json.Decoder(AccessTokenWords).decode
_encode = msgspec.json.Encoder().encode
_client_assertion_decoder = msgspec.json.Decoder(ClientAssertionClaims)
_client_assertion_claims = _client_assertion_decoder.decode


def _decode(payload: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decode_strictly(payload, decoder)
    except (AmbiguousJson, msgspec.ValidationError):
        # From nothing: the message of msgspec may quote the claims.
        raise InvalidClaims("the claims are malformed") from None
