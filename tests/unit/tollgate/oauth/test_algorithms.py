"""Signatures as JWS writes them."""

from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import (
    MGF1,
    PSS,
    AsymmetricPadding,
    PKCS1v15,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import (
    SHA256,
    SHA384,
    SHA512,
    HashAlgorithm,
)
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from tollgate.oauth.algorithms import Algorithm, of_full_length
from tollgate.oauth.signing_keys import SigningKey
from tollgate.testing.keys import signing_key

MESSAGE = b"what is signed"


def numbers(length: int) -> st.SearchStrategy[bytes]:
    """Of so many octets: with leading zeros, and with what would be a sign."""
    first = st.sampled_from([b"", b"\0", b"\0\0\0", b"\x7f", b"\x80", b"\xff"])
    rest = st.binary(min_size=length, max_size=length)
    return st.builds(lambda first, rest: (first + rest)[:length], first, rest)


@pytest.mark.parametrize("half", [32, 48])
@given(data=st.data())
def test_both_halves_have_their_full_length(half: int, data: st.DataObject) -> None:
    """RFC 7518 §3.4."""
    r, s = data.draw(numbers(half)), data.draw(numbers(half))

    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))

    assert of_full_length(der, half) == r + s


@pytest.mark.parametrize(
    ("alg", "padding", "digest"),
    [
        (Algorithm.RS256, PKCS1v15(), SHA256()),
        (Algorithm.RS384, PKCS1v15(), SHA384()),
        (Algorithm.RS512, PKCS1v15(), SHA512()),
        (Algorithm.PS256, PSS(MGF1(SHA256()), 32), SHA256()),
        (Algorithm.PS384, PSS(MGF1(SHA384()), 48), SHA384()),
        (Algorithm.PS512, PSS(MGF1(SHA512()), 64), SHA512()),
    ],
)
def test_others_verify_what_is_signed_with_rsa(
    alg: Algorithm, padding: AsymmetricPadding, digest: HashAlgorithm
) -> None:
    """RFC 7518 §3.3, §3.5; we verify by the same hash as we sign."""
    key = signing_key(alg)
    signature = key.sign(MESSAGE)

    cast(RSAPublicKey, public(key)).verify(signature, MESSAGE, padding, digest)
    assert key.public.has_signed(signature, MESSAGE)


@pytest.mark.parametrize(
    ("alg", "digest"), [(Algorithm.ES256, SHA256()), (Algorithm.ES384, SHA384())]
)
def test_others_verify_what_is_signed_with_ecdsa(
    alg: Algorithm, digest: HashAlgorithm
) -> None:
    """RFC 7518 §3.4."""
    key = signing_key(alg)
    signature = key.sign(MESSAGE)

    half = len(signature) // 2
    r, s = (int.from_bytes(part) for part in (signature[:half], signature[half:]))
    cast(EllipticCurvePublicKey, public(key)).verify(
        encode_dss_signature(r, s), MESSAGE, ECDSA(digest)
    )
    assert key.public.has_signed(signature, MESSAGE)


@pytest.mark.parametrize("alg", [Algorithm.RS256, Algorithm.ES256, Algorithm.ES384])
def test_of_messages_in_turn_each_is_held_to_its_own_signature(alg: Algorithm) -> None:
    """One that comes again is known; whoever asks about another in between is not."""
    key = signing_key(alg)
    messages = (b"this", b"that", b"")
    signatures = [key.sign(message) for message in messages]
    for asked in (messages, messages[::-1], tuple(2 * [b"that"])):
        for message in asked:
            for signed, signature in zip(messages, signatures, strict=True):
                assert key.public.has_signed(signature, message) is (message == signed)


def test_an_ecdsa_signature_has_one_length() -> None:
    """RFC 7518 §3.4: a number that is smaller has zeros in front of it."""
    key = signing_key(Algorithm.ES256)
    signature = b"\1" * 64
    while signature[32]:  # of every 256 one begins with a zero
        signature = key.sign(MESSAGE)
    assert key.public.has_signed(signature, MESSAGE)
    shorter = signature[:32] + signature[33:]
    assert key.public.have_signed([(shorter, MESSAGE)]) == [False]
    assert not key.public.has_signed(shorter, MESSAGE)
    assert not key.public.has_signed(signature + b"\0", MESSAGE)


@pytest.mark.parametrize(
    "alg", [Algorithm.RS256, Algorithm.PS256, Algorithm.ES256, Algorithm.EDDSA]
)
def test_of_several_each_is_found_to_be_what_it_is_alone(alg: Algorithm) -> None:
    key = signing_key(alg)
    good = key.sign(MESSAGE)
    wrong = bytes((good[0] ^ 1, *good[1:]))
    asked = [
        (good, MESSAGE),
        (wrong, MESSAGE),
        (good[:-1], MESSAGE),
        (good, MESSAGE + b"!"),
        (b"", MESSAGE),
        (good, MESSAGE),
    ]
    found = key.public.have_signed(asked)
    assert found == [True, False, False, False, False, True]
    assert found == [key.public.has_signed(*each) for each in asked]
    assert key.public.have_signed([]) == []


def public(key: SigningKey) -> PublicKeyTypes:
    return load_pem_public_key(key.public.pem.encode())
