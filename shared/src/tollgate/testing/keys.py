"""Throw-away keys. Making an RSA key takes a moment, so each is made once a process."""

from functools import cache

from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.signing_keys import SigningKey, generate_signing_key


@cache
def signing_key(alg: Algorithm = Algorithm.ES256, nth: int = 0) -> SigningKey:
    """The key number `nth` for `alg`: the same one for the same arguments."""
    del nth  # it only tells the keys apart
    return generate_signing_key(alg)
