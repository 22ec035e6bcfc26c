"""Private keys in memory, each with the one algorithm it signs with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import (
    generate_private_key as generate_rsa_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from tollgate.oauth.algorithms import Algorithm, PrivateKey, signer_of
from tollgate.oauth.public_keys import InvalidPublicKey, PublicKey, public_key_of


class InvalidPrivateKey(ValueError):
    """This is no private key that we can sign with."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`sign` gives the signature as JWS writes it. Nothing shows the key itself."""

    public: PublicKey
    sign: Callable[[bytes], bytes] = field(compare=False, repr=False)
    _private: PrivateKey = field(compare=False, repr=False)

    @property
    def kid(self) -> str:
        return self.public.kid

    def to_der(self) -> bytes:
        """PKCS#8, in the clear: encrypt it before it goes anywhere."""
        return self._private.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )

    def to_pem(self) -> str:
        """PKCS#8, in the clear; the form that Segment's Node.js SDK insists on."""
        return self._private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()


def generate_signing_key(alg: Algorithm = Algorithm.ES256) -> SigningKey:
    """A new key for `alg`; RSA keys get 2048 bits."""
    match alg:
        case Algorithm.ES256:
            return _signing_key(generate_private_key(SECP256R1()), alg)
        case Algorithm.ES384:
            return _signing_key(generate_private_key(SECP384R1()), alg)
        case Algorithm.EDDSA:
            return _signing_key(Ed25519PrivateKey.generate(), alg)
        case _:
            return _signing_key(generate_rsa_key(65537, 2048), alg)


def load_signing_key(encoded: bytes, alg: Algorithm | None = None) -> SigningKey:
    """The key in `encoded` (DER or PEM, not encrypted), or `InvalidPrivateKey`."""
    load = (
        load_pem_private_key if encoded.startswith(b"-----") else load_der_private_key
    )
    try:
        private = load(encoded, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidPrivateKey("not a private key, or an encrypted one") from None
    if not isinstance(
        private, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
    ):
        raise InvalidPrivateKey("use an RSA, P-256, P-384 or Ed25519 key")
    try:
        return _signing_key(private, alg)
    except InvalidPublicKey as refusal:
        raise InvalidPrivateKey(str(refusal)) from None


def _signing_key(private: PrivateKey, alg: Algorithm | None) -> SigningKey:
    public = public_key_of(private.public_key(), alg)
    return SigningKey(public, signer_of(public.alg, private), private)
