"""JSON Web Keys and sets of them (RFC 7517), public ones only."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from msgspec import UNSET, UnsetType

from tollgate.oauth import base64url
from tollgate.oauth.algorithms import UnfitAlgorithm, VerifyingKey, parse_algorithm
from tollgate.oauth.identifiers import Identifier
from tollgate.oauth.public_keys import (
    InvalidPublicKey,
    PrivateKeyPasted,
    PublicKey,
    public_key_of,
)
from tollgate.strict_json import AmbiguousJson, decode_strictly

_T = TypeVar("_T")


class Jwk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A public key as it is published: always with `kid`, `use` and `alg`."""

    kty: str
    kid: str
    use: str
    alg: str
    n: str | UnsetType = UNSET
    e: str | UnsetType = UNSET
    crv: str | UnsetType = UNSET
    x: str | UnsetType = UNSET
    y: str | UnsetType = UNSET


class JwkSet(msgspec.Struct, frozen=True):
    keys: list[Jwk]


def jwk_of(key: PublicKey) -> Jwk:
    return Jwk(kid=key.kid, use="sig", alg=key.alg.value, **key.jwk)


def jwk_set_of(keys: Iterable[PublicKey]) -> JwkSet:
    """The set to publish. RFC 7517 §4.5: each `kid` stands once."""
    return JwkSet([jwk_of(key) for key in {key.kid: key for key in keys}.values()])


def parse_jwk_set(document: bytes) -> Mapping[str, PublicKey]:
    """The keys of a set by `kid`, or `InvalidPublicKey` if any of them is not good."""
    read = _decode(document, _set_decoder)
    keys = {key.kid: key for key in map(_public_key, read.keys)}
    if len(keys) != len(read.keys):
        raise InvalidPublicKey("the JWK Set has two keys of one name")
    return keys


def parse_jwk(document: bytes) -> PublicKey:
    """One key, as `parse_jwk_set` reads it."""
    return _public_key(_decode(document, _jwk_decoder))


class _WireJwk(msgspec.Struct, frozen=True, kw_only=True):
    kty: str
    alg: str
    kid: Identifier
    use: str | UnsetType = UNSET
    key_ops: list[str] | UnsetType = UNSET
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""
    # Each of these is a secret (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
    d: Any | UnsetType = UNSET
    p: Any | UnsetType = UNSET
    q: Any | UnsetType = UNSET
    dp: Any | UnsetType = UNSET
    dq: Any | UnsetType = UNSET
    qi: Any | UnsetType = UNSET
    oth: Any | UnsetType = UNSET
    k: Any | UnsetType = UNSET


class _WireJwkSet(msgspec.Struct, frozen=True):
    keys: list[_WireJwk]


_jwk_decoder = msgspec.json.Decoder(_WireJwk)
_set_decoder = msgspec.json.Decoder(_WireJwkSet)
_CURVES = {"P-256": SECP256R1(), "P-384": SECP384R1()}


def _decode(document: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decode_strictly(document, decoder)
    except (AmbiguousJson, msgspec.ValidationError):
        raise InvalidPublicKey("not a JSON Web Key that we know") from None


def _public_key(jwk: _WireJwk) -> PublicKey:
    secrets = (jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi, jwk.oth, jwk.k)
    if any(secret is not UNSET for secret in secrets):
        raise PrivateKeyPasted
    # RFC 7517 §4.2, §4.3: a key says what it is for.
    if jwk.use is not UNSET and jwk.use != "sig":
        raise InvalidPublicKey("the key is not for signatures")
    if jwk.key_ops is not UNSET and "verify" not in jwk.key_ops:
        raise InvalidPublicKey("the key is not for verifying")
    try:
        return public_key_of(_key(jwk), parse_algorithm(jwk.alg), kid=jwk.kid)
    except UnfitAlgorithm:
        raise InvalidPublicKey("the algorithm is not supported") from None
    except ValueError:
        raise InvalidPublicKey("the members do not make a key") from None


def _key(jwk: _WireJwk) -> VerifyingKey:
    match jwk.kty:
        case "RSA":
            return RSAPublicNumbers(_uint(jwk.e), _uint(jwk.n)).public_key()
        case "EC" if jwk.crv in _CURVES:
            curve = _CURVES[jwk.crv]
            x, y = (_coordinate(text, curve.key_size // 8) for text in (jwk.x, jwk.y))
            return EllipticCurvePublicNumbers(x, y, curve).public_key()
        case "OKP" if jwk.crv == "Ed25519":
            return Ed25519PublicKey.from_public_bytes(base64url.decode(jwk.x))
        case _:
            raise InvalidPublicKey("use an RSA, P-256, P-384 or Ed25519 key")


def _uint(text: str) -> int:
    """RFC 7518 §2, Base64urlUInt: without leading zero octets."""
    octets = base64url.decode(text)
    if not octets or octets[0] == 0:
        raise InvalidPublicKey("a number is not in canonical form")
    return int.from_bytes(octets)


def _coordinate(text: str, size: int) -> int:
    """RFC 7518 §6.2.1.2: of full length."""
    octets = base64url.decode(text)
    if len(octets) != size:
        raise InvalidPublicKey("a coordinate is not of full length")
    return int.from_bytes(octets)
