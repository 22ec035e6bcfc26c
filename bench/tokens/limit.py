"""The limit: a token costs at least the two signatures of its exchange.

`python -m bench.tokens.limit SECONDS` prints how many pairs of an RSA-2048
verification and an ES256 signature one core does in a second, and nothing else beside.
"""

import sys
import time

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    generate_private_key as generate_rsa_key,
)
from cryptography.hazmat.primitives.hashes import SHA256

_MESSAGE = bytes(350)  # as long as what is signed of an assertion and of a token
_AT_A_TIME = 50


def pairs_per_second(seconds: float) -> float:
    client, issuer = generate_rsa_key(65537, 2048), generate_private_key(SECP256R1())
    padding, digest, scheme = PKCS1v15(), SHA256(), ECDSA(SHA256())
    assertion, public = client.sign(_MESSAGE, padding, digest), client.public_key()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(_AT_A_TIME):
            public.verify(assertion, _MESSAGE, padding, digest)
            issuer.sign(_MESSAGE, scheme)
        done += _AT_A_TIME
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    print(pairs_per_second(float(sys.argv[1])))
