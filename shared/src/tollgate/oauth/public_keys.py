"""PEM, as an administrator pastes it, to a checked key with one name and one use.

What is not clearly a good public key is refused with a reason that helps, and that
holds nothing of what was pasted: it may have been a secret.
"""

import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from tollgate.errors import DomainError
from tollgate.oauth import base64url
from tollgate.oauth.algorithms import (
    Algorithm,
    HasSigned,
    HaveSigned,
    VerifyingKey,
    fitting_algorithms,
    header_names,
    verifier_of,
)
from tollgate.oauth.weak_keys import weakness_of_ed25519, weakness_of_rsa

MAX_PEM_LENGTH = 8192


class InvalidPublicKey(DomainError):
    """This is no public key that signatures may be checked with."""


class PrivateKeyPasted(InvalidPublicKey):
    """A secret came where a public key belongs. It is neither kept nor logged."""

    def __init__(self) -> None:
        super().__init__(
            "this is a private key, and it should now be considered exposed: "
            "make a new pair and send only its public half"
        )


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key, the one algorithm it is used with, and its forms.

    `kid` is the RFC 7638 thumbprint, so that one key has one name everywhere; a key
    read from somebody else's JWK Set keeps the name it has there. `pem` is the SPKI
    form as we write it, `algs` what a JWS header may call the algorithm.
    """

    kid: str
    alg: Algorithm
    pem: str
    jwk: Mapping[str, str] = field(compare=False, repr=False)
    algs: frozenset[str] = field(compare=False, repr=False)
    has_signed: HasSigned = field(compare=False, repr=False)
    have_signed: HaveSigned = field(compare=False, repr=False)
    key: VerifyingKey = field(compare=False, repr=False)


def parse_public_key(pem: str, alg: Algorithm | None = None) -> PublicKey:
    """Read a PEM block (`PUBLIC KEY` or `RSA PUBLIC KEY`), for `alg` if one is given.

    Without `alg` the key is used with RS256, ES256, ES384 or EdDSA, by its kind.
    Raises `InvalidPublicKey`, or `PrivateKeyPasted` for anything that holds a secret.
    """
    if holds_private_key(pem):
        raise PrivateKeyPasted
    der = _der_of(pem)
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        if _is_private(der):
            raise PrivateKeyPasted from None
        raise InvalidPublicKey("the PEM block does not hold a public key") from None
    if _RSASSA_PSS in der[:40]:
        # Its parameters may forbid what we would then do with it.
        raise InvalidPublicKey("export the key as rsaEncryption, not as RSASSA-PSS")
    return public_key_of(key, alg)


@lru_cache(maxsize=16_384)
def recorded_public_key(pem: str, alg: str) -> PublicKey:
    """A key as an event of the log has it: parsed once in a process and remembered."""
    return parse_public_key(pem, Algorithm(alg))


def public_key_of(
    loaded: object, alg: Algorithm | None = None, *, kid: str | None = None
) -> PublicKey:
    """Check a key of cryptography's and bind it to its algorithm.

    Raises `InvalidPublicKey` for other kinds of keys, weak ones, and an `alg` that
    belongs to another kind.
    """
    key = _supported(loaded)
    _refuse_weak(key)
    fitting = fitting_algorithms(key)
    alg = fitting[0] if alg is None else alg
    if alg not in fitting:
        raise InvalidPublicKey(
            f"{alg} does not fit this key: it can be used with {', '.join(fitting)}"
        )
    members = _jwk_members(key)
    has_signed, have_signed = verifier_of(alg, key)
    return PublicKey(
        kid=thumbprint(members) if kid is None else kid,
        alg=alg,
        pem=key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        jwk=MappingProxyType(members),
        algs=header_names(alg),
        has_signed=has_signed,
        have_signed=have_signed,
        key=key,
    )


def thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638 §3: SHA-256 of the required members only, in lexical order."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64url.encode(sha256(text.encode()).digest())


def holds_private_key(text: str) -> bool:
    """Whether a secret is in there, in any form that people paste keys in."""
    if _PRIVATE_LABEL.search(text):
        return True
    return '"kty"' in text and _PRIVATE_MEMBER.search(text) is not None


_PRIVATE_LABEL = re.compile(
    r"PRIVATE\s+KEY|PuTTY-User-Key-File|AGE-SECRET-KEY-", re.IGNORECASE
)
_PRIVATE_MEMBER = re.compile(r'"(?:d|p|q|dp|dq|qi|oth|k|priv)"\s*:')  # RFC 7518 §6
_BEGIN = "-----BEGIN "
_BLOCK = re.compile(
    r"\s*-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n"
    r"([A-Za-z0-9+/=\s]+?)"
    r"-----END \1-----\s*",
    re.ASCII,
)
_WHITE = re.compile(r"\s+", re.ASCII)
_RSASSA_PSS = bytes.fromhex("06092a864886f70d01010a")  # OID 1.2.840.113549.1.1.10


def _der_of(pem: str) -> bytes:
    if len(pem) > MAX_PEM_LENGTH:
        raise InvalidPublicKey(f"a public key has at most {MAX_PEM_LENGTH} characters")
    if not pem.isascii() or "\0" in pem:
        raise InvalidPublicKey("a PEM block is printable ASCII")
    if pem.count(_BEGIN) > 1:
        raise InvalidPublicKey("more than one PEM block: send one key at a time")
    block = _BLOCK.fullmatch(pem)
    if block is None:
        bare = _octets_of(pem)
        if bare is not None and _is_private(bare):
            raise PrivateKeyPasted
        raise InvalidPublicKey(_advice(pem))
    label = block[1]
    if label not in {"PUBLIC KEY", "RSA PUBLIC KEY"}:
        raise InvalidPublicKey(_advice_on_label(label))
    der = _octets_of(block[2])
    if der is None:
        raise InvalidPublicKey("the PEM block is damaged")
    return der


def _octets_of(text: str) -> bytes | None:
    try:
        return binascii.a2b_base64(_WHITE.sub("", text), strict_mode=True)
    except binascii.Error:
        return None


def _advice(text: str) -> str:
    if '"kty"' in text:
        return "a JWK: send the key as PEM, from -----BEGIN PUBLIC KEY-----"
    if re.match(r"\s*(?:ssh-|ecdsa-sha2-)", text):
        return "an OpenSSH key: convert it with ssh-keygen -e -m PKCS8"
    if _BEGIN in text:
        return "the PEM block is damaged: send it whole, with its first and last line"
    return "not a PEM block, which starts with -----BEGIN PUBLIC KEY-----"


def _advice_on_label(label: str) -> str:
    if "CERTIFICATE" in label:
        return "a certificate: take its public key with openssl x509 -pubkey -noout"
    return "the PEM block is not a PUBLIC KEY or RSA PUBLIC KEY"


def _is_private(der: bytes) -> bool:
    """Whether a private key stands under the label of a public one."""
    try:
        load_der_private_key(der, password=None)
    except TypeError:
        return True  # it is encrypted
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _supported(key: object) -> VerifyingKey:
    match key:
        case RSAPublicKey() | Ed25519PublicKey():
            return key
        case EllipticCurvePublicKey(curve=SECP256R1() | SECP384R1()):
            # Made anew, so that it is written with the name of its curve.
            numbers = key.public_numbers()
            return EllipticCurvePublicNumbers(
                numbers.x, numbers.y, key.curve
            ).public_key()
        case EllipticCurvePublicKey():
            raise InvalidPublicKey("of the elliptic curves, use P-256 or P-384")
        case DSAPublicKey():
            raise InvalidPublicKey("DSA keys are not supported")
        case _:
            raise InvalidPublicKey("use an RSA, P-256, P-384 or Ed25519 key")


def _refuse_weak(key: VerifyingKey) -> None:
    weakness = None
    match key:
        case RSAPublicKey():
            numbers = key.public_numbers()
            weakness = weakness_of_rsa(numbers.n, numbers.e)
        case Ed25519PublicKey():
            weakness = weakness_of_ed25519(key.public_bytes_raw())
        case EllipticCurvePublicKey():
            pass  # it was loaded, so it is a point, and these curves have cofactor 1
        case _:
            assert_never(key)
    if weakness is not None:
        raise InvalidPublicKey(weakness)


def _jwk_members(key: VerifyingKey) -> dict[str, str]:
    """The members that make the key, and no more (RFC 7638 §3.2)."""
    match key:
        case RSAPublicKey():
            rsa = key.public_numbers()
            return {"kty": "RSA", "n": _uint(rsa.n), "e": _uint(rsa.e)}
        case EllipticCurvePublicKey():
            ec = key.public_numbers()
            curve = _JWK_CURVES[key.curve.name]
            size = key.curve.key_size // 8
            return {
                "kty": "EC",
                "crv": curve,
                "x": base64url.encode(ec.x.to_bytes(size)),
                "y": base64url.encode(ec.y.to_bytes(size)),
            }
        case Ed25519PublicKey():
            x = base64url.encode(key.public_bytes_raw())
            return {"kty": "OKP", "crv": "Ed25519", "x": x}


_JWK_CURVES = {SECP256R1.name: "P-256", SECP384R1.name: "P-384"}


def _uint(number: int) -> str:
    """RFC 7518 §2, Base64urlUInt: without leading zero octets."""
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8))
