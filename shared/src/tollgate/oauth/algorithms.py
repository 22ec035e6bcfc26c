"""The signature algorithms that are accepted, each pinned to its keys.

No HMAC and no `none` (RFC 8725 §3.1-3.5). A key is used with one algorithm only, so a
signature function belongs to a pair of algorithm and key, made once and then called.
"""

import hashlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.padding import (
    MGF1,
    PSS,
    AsymmetricPadding,
    PKCS1v15,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import (
    SHA256,
    SHA384,
    SHA512,
)

VerifyingKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

HasSigned: TypeAlias = Callable[[bytes, bytes], bool]
"""`has_signed(signature, message)`: false for whatever is not that signature."""

HaveSigned: TypeAlias = Callable[[Iterable[tuple[bytes, bytes]]], list[bool]]
"""The same of each signature and its message."""

_ArgumentsOf: TypeAlias = Callable[[bytes, bytes], tuple[object, ...] | None]
"""Of a signature and a message; None if that cannot be a signature at all."""


class Algorithm(StrEnum):
    """`alg` of a key (RFC 7518 §3.1, RFC 8037 §3.1)."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"


class UnfitAlgorithm(ValueError):
    """The algorithm does not belong to keys of this kind."""


class _Hash(NamedTuple):
    """A hash function, called here: `cryptography` takes three times as long to."""

    digest_of: Callable[[bytes], bytes]
    done: Prehashed


def _once_in_a_row(hash_of: Callable[[bytes], Any]) -> Callable[[bytes], bytes]:
    """The digest of a message, made once for one that is asked about again and again.

    Who forges signatures mostly tries many for the same words. Both are kept in one
    object, so that no thread takes the digest of one message for another's.
    """
    last: tuple[bytes, bytes] = (b"", hash_of(b"").digest())

    def digest_of(message: bytes) -> bytes:
        nonlocal last
        known, digest = last
        if known is not message:
            digest = hash_of(message).digest()
            last = (message, digest)
        return digest

    return digest_of


_SHA256 = _Hash(_once_in_a_row(hashlib.sha256), Prehashed(SHA256()))
_SHA384 = _Hash(_once_in_a_row(hashlib.sha384), Prehashed(SHA384()))
_SHA512 = _Hash(_once_in_a_row(hashlib.sha512), Prehashed(SHA512()))

_RSA: dict[Algorithm, tuple[AsymmetricPadding, _Hash]] = {
    Algorithm.RS256: (PKCS1v15(), _SHA256),
    Algorithm.RS384: (PKCS1v15(), _SHA384),
    Algorithm.RS512: (PKCS1v15(), _SHA512),
    # RFC 7518 §3.5: the salt is as long as the hash, no other length is accepted.
    Algorithm.PS256: (PSS(MGF1(SHA256()), SHA256.digest_size), _SHA256),
    Algorithm.PS384: (PSS(MGF1(SHA384()), SHA384.digest_size), _SHA384),
    Algorithm.PS512: (PSS(MGF1(SHA512()), SHA512.digest_size), _SHA512),
}
_ECDSA: dict[Algorithm, tuple[str, int, _Hash]] = {
    Algorithm.ES256: (SECP256R1.name, 32, _SHA256),
    Algorithm.ES384: (SECP384R1.name, 48, _SHA384),
}


def header_names(algorithm: Algorithm) -> frozenset[str]:
    """What a JWS header may call it: RFC 9864 has a second name for Ed25519."""
    if algorithm is Algorithm.EDDSA:
        return frozenset({"EdDSA", "Ed25519"})
    return frozenset({algorithm.value})


def parse_algorithm(name: str) -> Algorithm:
    """The algorithm that a header or an administrator calls `name`."""
    if name == "Ed25519":
        return Algorithm.EDDSA
    try:
        return Algorithm(name)
    except ValueError:
        raise UnfitAlgorithm("the algorithm is not supported") from None


def fitting_algorithms(key: VerifyingKey) -> tuple[Algorithm, ...]:
    """What `key` could be used with; the first is what it gets when none is named."""
    match key:
        case RSAPublicKey():
            return tuple(_RSA)
        case EllipticCurvePublicKey():
            curve = key.curve.name
            return tuple(alg for alg, (name, _, _) in _ECDSA.items() if name == curve)
        case Ed25519PublicKey():
            return (Algorithm.EDDSA,)


def verifier_of(
    algorithm: Algorithm, key: VerifyingKey
) -> tuple[HasSigned, HaveSigned]:
    """The one way to check signatures of `key`: one of them, and several in a row."""
    if algorithm not in fitting_algorithms(key):
        raise UnfitAlgorithm("the algorithm does not fit the key")
    match key:
        case RSAPublicKey():
            padding, (digest_of, hashed) = _RSA[algorithm]
            return _verifier(
                key.verify,
                lambda signature, message: (
                    signature,
                    digest_of(message),
                    padding,
                    hashed,
                ),
            )
        case EllipticCurvePublicKey():
            return _verifier(key.verify, _ecdsa_arguments(algorithm))
        case Ed25519PublicKey():
            return _verifier(key.verify, lambda *asked: asked)


def _verifier(
    verify: Callable[..., None], arguments_of: _ArgumentsOf
) -> tuple[HasSigned, HaveSigned]:
    """`verify` raises `InvalidSignature`; `arguments_of` what it is given.

    For several they are made before the first is verified: what runs between two
    verifications finds the caches of the processor cold.
    """

    def has_signed(signature: bytes, message: bytes) -> bool:
        arguments = arguments_of(signature, message)
        if arguments is None:
            return False
        try:
            verify(*arguments)
        except InvalidSignature:
            return False
        return True

    def have_signed(asked: Iterable[tuple[bytes, bytes]]) -> list[bool]:
        found = []
        for arguments in [arguments_of(*each) for each in asked]:
            if arguments is None:
                found.append(False)
                continue
            try:
                verify(*arguments)
            except InvalidSignature:
                found.append(False)
            else:
                found.append(True)
        return found

    return has_signed, have_signed


def _ecdsa_arguments(algorithm: Algorithm) -> _ArgumentsOf:
    _, half, (digest_of, hashed) = _ECDSA[algorithm]
    scheme = ECDSA(hashed)

    def arguments_of(signature: bytes, message: bytes) -> tuple[object, ...] | None:
        # RFC 7518 §3.4: R || S, both of full length; DER is not a JWS signature.
        if len(signature) != 2 * half:
            return None
        return der_of(signature, half), digest_of(message), scheme

    return arguments_of


def der_of(signature: bytes, half: int) -> bytes:
    """The R and S of `half` as many octets as DER writes them (RFC 3279 §2.2.3).

    As `encode_dss_signature` does, but from octets, without numbers in between.
    """
    r, s = signature[:half].lstrip(b"\0"), signature[half:].lstrip(b"\0")
    if r[:1] >= b"\x80" or not r:
        r = b"\0" + r  # an INTEGER has a sign, and at least an octet
    if s[:1] >= b"\x80" or not s:
        s = b"\0" + s
    return b"0%c\x02%c%b\x02%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)


def signer_of(algorithm: Algorithm, key: PrivateKey) -> Callable[[bytes], bytes]:
    """The one way to sign with `key`."""
    if algorithm not in fitting_algorithms(key.public_key()):
        raise UnfitAlgorithm("the algorithm does not fit the key")
    match key:
        case RSAPrivateKey():
            padding, (digest_of, hashed) = _RSA[algorithm]
            return lambda message: key.sign(digest_of(message), padding, hashed)
        case EllipticCurvePrivateKey():
            return _ecdsa_signer(algorithm, key)
        case Ed25519PrivateKey():
            return key.sign


def _ecdsa_signer(
    algorithm: Algorithm, key: EllipticCurvePrivateKey
) -> Callable[[bytes], bytes]:
    _, half, (digest_of, hashed) = _ECDSA[algorithm]
    scheme = ECDSA(hashed)

    def sign(message: bytes) -> bytes:
        return of_full_length(key.sign(digest_of(message), scheme), half)

    return sign


def of_full_length(der: bytes, half: int) -> bytes:
    """R || S as JWS writes them, of a signature that OpenSSL has just made.

    RFC 3279 §2.2.3: two INTEGERs, each after its tag and its length, and without
    leading zeros but for the one that keeps a number from being negative.
    """
    end = 4 + der[3]
    r, s = der[4:end], der[end + 2 :]
    return r[-half:].rjust(half, b"\0") + s[-half:].rjust(half, b"\0")
