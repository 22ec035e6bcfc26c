"""Bare verification of an algorithm in a loop: the limit of whoever must verify.

`python -m bench.gateway.verification_loop ES256 SECONDS` prints verifications a second.
The signatures are wrong, each another; with DER already made where a library wants DER.
"""

import random
import sys
import time
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.public_keys import PublicKey
from tollgate.testing.keys import signing_key

_MESSAGE = b"x" * 530  # as long as the signed part of one of our access tokens
_SIGNATURES = 1_000


def main() -> None:
    algorithm, seconds = Algorithm(sys.argv[1]), float(sys.argv[2])
    verify, signatures = prepared(signing_key(algorithm).public)
    for signature in signatures:  # warm, and not one of them may pass
        try:
            verify(signature)
        except InvalidSignature:
            continue
        raise SystemExit("a random signature was right")
    print(count(verify, signatures, seconds) / seconds)


def prepared(public: PublicKey) -> tuple[Callable[[bytes], None], list[bytes]]:
    """What verifies a signature of one message, and wrong ones in its form."""
    chance = random.Random(4)  # noqa: S311 - not a secret
    key, digest = public.key, SHA256()
    if isinstance(key, EllipticCurvePublicKey):
        scheme = ECDSA(digest)
        return (
            lambda signature: key.verify(signature, _MESSAGE, scheme),
            [
                encode_dss_signature(chance.getrandbits(255), chance.getrandbits(255))
                for _ in range(_SIGNATURES)
            ],
        )
    if isinstance(key, RSAPublicKey):
        padding = PKCS1v15()
        below_modulus = key.key_size // 8 - 1
        return (
            lambda signature: key.verify(signature, _MESSAGE, padding, digest),
            [b"\0" + chance.randbytes(below_modulus) for _ in range(_SIGNATURES)],
        )
    raise SystemExit("the issuer signs with RSA or ECDSA")


def count(
    verify: Callable[[bytes], None], signatures: list[bytes], seconds: float
) -> int:
    """How many are verified in so many seconds."""
    verified = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for signature in signatures[:100]:
            try:
                verify(signature)
            except InvalidSignature:
                verified += 1
    return verified


if __name__ == "__main__":
    main()
