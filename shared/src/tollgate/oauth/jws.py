"""JSON Web Signature in its compact form, and nothing beside it (RFC 7515 §7.1).

A token has one spelling. What this accepts cannot be written in any other way and
still be accepted: no padding, no whitespace, no bits beyond the last octet, no member
twice. Nothing that a token says about keys (`jwk`, `jku`, `x5c`, ...) is looked at, so
that no token supplies its own key or makes us ask the network (RFC 8725 §3.10).
"""

from functools import lru_cache
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.base64url import (
    TRANSLATION,
    NotBase64Url,
    decode_translated,
    encode_to_bytes,
)
from tollgate.oauth.identifiers import Identifier
from tollgate.oauth.public_keys import PublicKey
from tollgate.oauth.signing_keys import SigningKey
from tollgate.strict_json import AmbiguousJson, decode_strictly, is_plain

MAX_LENGTH = 8192
_DOT = ord(".")  # whether octets are in octets costs more to ask
_JSON_SPACE = b" \t\r\n"
OPENINGS = frozenset(
    encode_to_bytes(bytes((octet,)))[0] for octet in b"{" + _JSON_SPACE
)
"""Octets that base64url of a JSON object begins with: a brace, or space before it."""


class JwsRefused(Exception):
    """This is not a JWS of ours, for one of the reasons below."""


class MalformedJws(JwsRefused):
    """Not a compact JWS, or one that asks for what is not supported."""


class BadSignature(JwsRefused):
    """The key did not sign this, or not with its algorithm."""


class JwsHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of a header: RFC 7515 §4.1.1, §4.1.4, §4.1.9."""

    alg: str
    kid: str | None = None
    typ: str | None = None


class UnverifiedJws(msgspec.Struct, frozen=True):
    """The parts of a token that nobody has vouched for yet."""

    header: JwsHeader
    payload: bytes
    signing_input: bytes
    signature: bytes


class VerificationKey(Protocol):
    """What `verify` needs of a key; `PublicKey` is one."""

    @property
    def algs(self) -> frozenset[str]: ...

    def has_signed(self, signature: bytes, message: bytes, /) -> bool: ...


def decode(token: bytes | str) -> UnverifiedJws:
    """Take a token apart, or raise `MalformedJws`. Nothing is verified.

    The payload may be empty, as a JWS's may (never a JWT's).
    """
    if isinstance(token, str):
        # Whatever is not ASCII becomes a character that no part may hold.
        token = token.encode("ascii", "replace")
    if len(token) > MAX_LENGTH:
        raise MalformedJws("the token is too long")
    parts = split(token)
    if parts is None:
        raise MalformedJws("a token has three parts, and the first is a header")
    header, payload, signature = parts
    return UnverifiedJws(
        read_header(header),
        octets_of(payload),
        token[: -len(signature) - 1],
        octets_of(signature),
    )


def split(token: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The three parts of a token as they are written, if it may be one.

    What comes in a flood mostly is none: so None, which costs less than to raise.
    """
    if not token or token[0] not in OPENINGS or len(token) > MAX_LENGTH:
        return None
    header, _, rest = token.partition(b".")
    payload, _, signature = rest.partition(b".")
    if not signature or _DOT in signature:
        return None
    return header, payload, signature


def octets_of(part: bytes) -> bytes:
    """What a part of a token encodes, or `MalformedJws`."""
    try:
        return decode_translated(part.translate(TRANSLATION))
    except NotBase64Url:
        raise MalformedJws("a part of the token is not base64url") from None


def verify(jws: UnverifiedJws, key: VerificationKey) -> bytes:
    """The payload, if `key` signed it with its own algorithm, or `BadSignature`."""
    # RFC 8725 §3.1: the key decides on the algorithm, never the token.
    if jws.header.alg not in key.algs:
        raise BadSignature("the algorithm is not that of the key")
    if not key.has_signed(jws.signature, jws.signing_input):
        raise BadSignature("the signature does not fit")
    return jws.payload


def sign(key: SigningKey, payload: bytes, *, typ: str) -> str:
    """The compact form of `payload`, signed; the header names `alg`, `kid`, `typ`."""
    to_sign = signing_input(key.public, payload, typ=typ)
    return compact(to_sign, key.sign(to_sign))


def signing_input(key: PublicKey, payload: bytes, *, typ: str) -> bytes:
    """What `sign` has the private half of `key` sign (RFC 7515 §5.1)."""
    return b"%b.%b" % (_header_segment(key.alg, key.kid, typ), encode_to_bytes(payload))


def compact(signed: bytes, signature: bytes) -> str:
    """The token of a signing input and the signature over it (RFC 7515 §7.1)."""
    return (b"%b.%b" % (signed, encode_to_bytes(signature))).decode()


class _WireHeader(msgspec.Struct, frozen=True, kw_only=True):
    """`crit`, `b64` and `zip` change what the rest means, and we know none of them."""

    alg: Annotated[str, Meta(min_length=1, max_length=32)]
    kid: Identifier | UnsetType = UNSET
    typ: Annotated[str, Meta(max_length=128)] | UnsetType = UNSET
    crit: Any | UnsetType = UNSET
    b64: Any | UnsetType = UNSET
    zip: Any | UnsetType = UNSET


_header_decoder = msgspec.json.Decoder(_WireHeader)


@lru_cache(maxsize=512)
def read_header(part: bytes) -> JwsHeader:
    """What the first part of a token says. Few are in use at a time: remembered."""
    octets = octets_of(part)
    if not octets.lstrip(_JSON_SPACE).startswith(b"{"):
        raise MalformedJws("the header is no JSON object")
    try:
        if is_plain(octets):
            header = _header_decoder.decode(octets)
        else:
            header = decode_strictly(octets, _header_decoder)
    except (AmbiguousJson, msgspec.ValidationError):
        # From nothing: the message of msgspec may quote the token.
        raise MalformedJws("the header is malformed") from None
    if not (header.crit is header.b64 is header.zip is UNSET):
        raise MalformedJws("the header asks for an extension")
    return JwsHeader(
        alg=header.alg,
        kid=None if header.kid is UNSET else header.kid,
        typ=None if header.typ is UNSET else header.typ,
    )


@lru_cache(maxsize=64)
def _header_segment(alg: Algorithm, kid: str, typ: str) -> bytes:
    header = {"alg": alg.value, "kid": kid, "typ": typ}
    return encode_to_bytes(msgspec.json.encode(header))
