"""Keys that anybody can forge signatures for, as far as it is cheap to see.

None of this proves a key good. It finds what broken generators and test vectors
produce: moduli with a factor in sight, ROCA, and points of small order.
"""

from math import gcd, isqrt, prod

MIN_RSA_BITS = 2048
"""RFC 7518 §3.3."""

MAX_RSA_BITS = 8192
"""Verifying costs with the square of this, and anybody can make us verify."""

MIN_RSA_EXPONENT = 65537
"""FIPS 186-5 §A.1.1: odd, and above 2^16."""

MAX_RSA_EXPONENT = 2**32 - 1
"""Verifying costs with the length of this, too."""

_FERMAT_STEPS = 100


def weakness_of_rsa(modulus: int, exponent: int) -> str | None:
    """Why this key is refused, or nothing."""
    bits = modulus.bit_length()
    if bits < MIN_RSA_BITS:
        return f"an RSA key needs at least {MIN_RSA_BITS} bits"
    if bits > MAX_RSA_BITS:
        return f"an RSA key may have at most {MAX_RSA_BITS} bits"
    if exponent % 2 == 0 or not MIN_RSA_EXPONENT <= exponent <= MAX_RSA_EXPONENT:
        return "the RSA exponent must be odd and from 65537 to 4294967295"
    if gcd(modulus, _SMALL_PRIMES) != 1 or _has_close_factors(modulus):
        return "the RSA modulus is easily factored: make a new key"
    if _is_roca(modulus):
        return "the RSA key has the ROCA weakness (CVE-2017-15361): make a new key"
    return None


def weakness_of_ed25519(encoded: bytes) -> str | None:
    """Why this key (RFC 8032 §5.1.2, 32 octets) is refused, or nothing."""
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= _P:
        return "the Ed25519 key is not in canonical form"
    x_squared = _x_squared(y)
    if pow(x_squared, (_P - 1) // 2, _P) not in (0, 1):
        return "the Ed25519 key is not a point of the curve"
    for _ in range(3):  # the cofactor is 8: a point of small order vanishes
        y = (y * y + x_squared) * pow(1 - _D * x_squared * y * y, -1, _P) % _P
        x_squared = _x_squared(y)
    if y == 1:
        return "the Ed25519 key has a small order: any signature would fit it"
    return None


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def _x_squared(y: int) -> int:
    """x^2 of the points (x, y) on -x^2 + y^2 = 1 + d x^2 y^2."""
    return (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P


def _has_close_factors(modulus: int) -> bool:
    """Fermat's method, for a few steps (as CVE-2022-26320 needs)."""
    a = isqrt(modulus)
    if a * a == modulus:
        return True
    for _ in range(_FERMAT_STEPS):
        a += 1
        b_squared = a * a - modulus
        if isqrt(b_squared) ** 2 == b_squared:
            return True
    return False


def _is_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 for every small prime.

    The generator of CVE-2017-15361 made only such primes; of other moduli, one in two
    hundred million looks like it.
    """
    return all(modulus % prime in powers for prime, powers in _ROCA_PRINTS)


def _primes_below(limit: int) -> list[int]:
    return [n for n in range(2, limit) if all(n % d for d in range(2, isqrt(n) + 1))]


def _powers_of_65537(prime: int) -> frozenset[int]:
    powers: set[int] = set()
    power = 1
    while power not in powers:
        powers.add(power)
        power = power * 65537 % prime
    return frozenset(powers)


_SMALL_PRIMES = prod(_primes_below(752))  # as in NIST SP 800-89 §5.3.3
_ROCA_PRINTS = [(prime, _powers_of_65537(prime)) for prime in _primes_below(168)[1:]]
