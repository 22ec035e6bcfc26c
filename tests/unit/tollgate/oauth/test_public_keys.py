"""What an administrator may paste, and what happens to the rest."""

import json
from base64 import b64decode, b64encode, encodebytes
from collections.abc import Callable
from math import prod

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.jwks import jwk_set_of, parse_jwk, parse_jwk_set
from tollgate.oauth.public_keys import (
    InvalidPublicKey,
    PrivateKeyPasted,
    parse_public_key,
    thumbprint,
)
from tollgate.oauth.signing_keys import (
    InvalidPrivateKey,
    generate_signing_key,
    load_signing_key,
)
from tollgate.testing.keys import signing_key

RSA = Algorithm.RS256
EC = Algorithm.ES256


def block(label: str, der: bytes) -> str:
    return (
        f"-----BEGIN {label}-----\n{encodebytes(der).decode()}-----END {label}-----\n"
    )


def spki(key: object) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def rsa_key(modulus: int, exponent: int = 65537) -> str:
    """PKCS#1 PEM of any two numbers, written by hand: cryptography checks some."""

    def tagged(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = size.to_bytes((size.bit_length() + 7) // 8 or 1)
        return bytes([tag, size] if size < 128 else [tag, 0x80 | len(length)]) + (
            content if size < 128 else length + content
        )

    numbers = (n.to_bytes(n.bit_length() // 8 + 1) for n in (modulus, exponent))
    return block(
        "RSA PUBLIC KEY", tagged(0x30, b"".join(tagged(2, n) for n in numbers))
    )


class TestGoodKeys:
    @pytest.mark.parametrize(
        ("alg", "default"),
        [
            (Algorithm.RS256, Algorithm.RS256),
            (Algorithm.ES256, Algorithm.ES256),
            (Algorithm.ES384, Algorithm.ES384),
            (Algorithm.EDDSA, Algorithm.EDDSA),
        ],
    )
    def test_the_algorithm_follows_from_the_kind_of_key(
        self, alg: Algorithm, default: Algorithm
    ) -> None:
        parsed = parse_public_key(signing_key(alg).public.pem)
        assert parsed.alg is default
        assert parsed.kid == signing_key(alg).kid

    def test_an_rsa_key_may_be_registered_for_another_rsa_algorithm(self) -> None:
        pem = signing_key(RSA).public.pem
        for alg in ("RS384", "RS512", "PS256", "PS384", "PS512"):
            assert parse_public_key(pem, Algorithm(alg)).alg == alg

    def test_an_algorithm_of_another_kind_is_refused(self) -> None:
        with pytest.raises(InvalidPublicKey, match="ES256 does not fit"):
            parse_public_key(signing_key(RSA).public.pem, Algorithm.ES256)
        with pytest.raises(InvalidPublicKey, match="ES256 does not fit"):
            parse_public_key(signing_key(Algorithm.ES384).public.pem, Algorithm.ES256)
        with pytest.raises(InvalidPublicKey, match="RS256 does not fit"):
            parse_public_key(signing_key(EC).public.pem, Algorithm.RS256)

    def test_one_key_has_one_name_in_every_form(self) -> None:
        key = signing_key(RSA)
        der = key.public.key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        pasted = block("RSA PUBLIC KEY", der)
        assert parse_public_key(pasted) == key.public
        assert parse_public_key(
            f"\r\n  {pasted.replace(chr(10), chr(13) + chr(10))}\n "
        )
        assert parse_public_key(pasted).pem.startswith("-----BEGIN PUBLIC KEY-----\n")

    def test_a_compressed_point_is_the_same_key(self) -> None:
        key = signing_key(EC).public.key
        point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
        assert parse_public_key(block("PUBLIC KEY", header + point)) == (
            signing_key(EC).public
        )

    def test_the_kid_is_the_thumbprint_of_rfc_7638(self) -> None:
        members = {  # the example of RFC 7638 §3.1
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1"
            "RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yB"
            "XArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c"
            "7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lF"
            "d2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
        }
        assert thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


class TestWeakKeys:
    @pytest.mark.parametrize("bits", [512, 1024, 2047, 8193, 16384])
    def test_an_rsa_key_has_a_sensible_size(self, bits: int) -> None:
        with pytest.raises(InvalidPublicKey, match="bits"):
            parse_public_key(rsa_key((1 << bits) - 1))

    @pytest.mark.parametrize(
        "exponent", [0, 1, 2, 3, 65535, 65538, 2**32 + 1, 2**64 + 1]
    )
    def test_an_rsa_exponent_is_odd_and_neither_small_nor_huge(
        self, exponent: int
    ) -> None:
        modulus = signing_key(RSA).public.key.public_numbers().n
        with pytest.raises(InvalidPublicKey, match=r"exponent|does not hold"):
            parse_public_key(rsa_key(modulus, exponent))

    def test_a_modulus_with_a_factor_in_sight_is_refused(self) -> None:
        modulus = signing_key(RSA).public.key.public_numbers().n
        prime = signing_key(RSA)._private.private_numbers().p
        for factored in ((1 << 2048) - 2, modulus * 3, modulus * 751, prime**4):
            with pytest.raises(InvalidPublicKey, match="factored"):
                parse_public_key(rsa_key(factored))

    def test_close_primes_are_found(self) -> None:
        """Two factors that share their upper half, as in CVE-2022-26320."""
        p = without_small_factors((1 << 1024) + 1)
        q = without_small_factors(p + (1 << 500))
        with pytest.raises(InvalidPublicKey, match="factored"):
            parse_public_key(rsa_key(p * q))

    def test_roca_is_found(self) -> None:
        """Factors of the form k * M + (65537^a mod M), CVE-2017-15361."""
        m = prod(n for n in range(2, 168) if all(n % d for d in range(2, n)))
        p = without_small_factors((m << 850) + pow(65537, 12345, m), step=m)
        q = without_small_factors((m << 851) + pow(65537, 54321, m), step=m)
        with pytest.raises(InvalidPublicKey, match="ROCA"):
            parse_public_key(rsa_key(p * q))

    @pytest.mark.parametrize(
        "encoded",
        [
            "00" * 32,
            "01" + "00" * 31,
            "ec" + "ff" * 30 + "7f",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        ],
    )
    def test_an_ed25519_key_of_small_order_is_refused(self, encoded: str) -> None:
        der = bytes.fromhex("302a300506032b6570032100" + encoded)
        with pytest.raises(InvalidPublicKey, match="small order"):
            parse_public_key(block("PUBLIC KEY", der))

    @pytest.mark.parametrize(
        ("encoded", "reason"),
        [
            ("ee" + "ff" * 30 + "7f", "canonical"),
            ("ff" * 32, "canonical"),
            ("02" + "00" * 31, "not a point"),
        ],
    )
    def test_an_ed25519_key_is_a_point_in_canonical_form(
        self, encoded: str, reason: str
    ) -> None:
        der = bytes.fromhex("302a300506032b6570032100" + encoded)
        with pytest.raises(InvalidPublicKey, match=reason):
            parse_public_key(block("PUBLIC KEY", der))


def without_small_factors(number: int, step: int = 2) -> int:
    """The next such number: what our tests look at of a prime."""
    while any(number % small == 0 for small in range(3, 752, 2)):
        number += step
    return number


class TestUnsupportedKeys:
    def test_other_kinds_of_keys_are_refused_by_name(self) -> None:
        p521 = ec.generate_private_key(ec.SECP521R1()).public_key()
        k1 = ec.generate_private_key(ec.SECP256K1()).public_key()
        for key, reason in (
            (p521, "P-256 or P-384"),
            (k1, "P-256 or P-384"),
            (dsa.generate_private_key(2048).public_key(), "DSA"),
            (ed448.Ed448PrivateKey.generate().public_key(), "Ed25519"),
            (x25519.X25519PrivateKey.generate().public_key(), "Ed25519"),
        ):
            with pytest.raises(InvalidPublicKey, match=reason):
                parse_public_key(spki(key))

    def test_a_key_for_pss_alone_is_refused(self) -> None:
        der = signing_key(RSA).public.key.public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        encryption = bytes.fromhex("300d06092a864886f70d0101010500")
        pss = bytes.fromhex("300d06092a864886f70d01010a3000")
        with pytest.raises(InvalidPublicKey):
            parse_public_key(block("PUBLIC KEY", der.replace(encryption, pss)))

    def test_a_point_beside_the_curve_is_refused(self) -> None:
        der = bytearray(
            signing_key(EC).public.key.public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        )
        der[-1] ^= 1
        with pytest.raises(InvalidPublicKey, match="does not hold a public key"):
            parse_public_key(block("PUBLIC KEY", bytes(der)))


class TestWhatIsNotAKey:
    @pytest.mark.parametrize(
        ("pasted", "reason"),
        [
            ("", "not a PEM block"),
            ("hello", "not a PEM block"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@host", "OpenSSH"),
            ('{"kty": "EC", "crv": "P-256"}', "JWK"),
            ("-----BEGIN PUBLIC KEY-----\n", "damaged"),
            ("-----BEGIN PUBLIC KEY-----\nAAA\n-----END PUBLIC KEY-----", "damaged"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END RSA KEY-----", "damaged"),
            (block("PUBLIC KEY", b"\x30\x00"), "does not hold a public key"),
            (block("CERTIFICATE", b"\x30\x00"), "x509"),
            (block("CERTIFICATE REQUEST", b"\x30\x00"), "x509"),
            (block("EC PARAMETERS", b"\x30\x00"), "not a PUBLIC KEY"),
            ("-----BEGIN PUBLIC KEY-----\n" * 2, "one key at a time"),
            ("\u2013" + block("PUBLIC KEY", b"\x30\x00"), "ASCII"),
            (block("PUBLIC KEY", b"\x30\x00") + "\0", "ASCII"),
            ("-" * 8193, "8192"),
        ],
    )
    def test_it_is_refused_with_advice(self, pasted: str, reason: str) -> None:
        with pytest.raises(InvalidPublicKey, match=reason):
            parse_public_key(pasted)

    def test_two_good_keys_are_one_too_many(self) -> None:
        pem = signing_key(EC).public.pem
        with pytest.raises(InvalidPublicKey, match="one key at a time"):
            parse_public_key(pem + pem)

    def test_something_behind_the_key_is_refused(self) -> None:
        der = signing_key(EC).public.key.public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        with pytest.raises(InvalidPublicKey):
            parse_public_key(block("PUBLIC KEY", der + b"\0"))

    @given(
        st.text(max_size=200)
        | st.binary(max_size=200).map(lambda der: block("PUBLIC KEY", der))
    )
    @example("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
    @example("\ud800")
    def test_anything_at_all_is_either_a_key_or_refused(self, pasted: str) -> None:
        with pytest.raises(InvalidPublicKey) as refusal:
            parse_public_key(pasted)
        assert str(refusal.value).isascii()


def private_pem(
    alg: Algorithm = RSA,
    form: PrivateFormat = PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> str:
    sealing = BestAvailableEncryption(password) if password else NoEncryption()
    private = signing_key(alg)._private
    return private.private_bytes(Encoding.PEM, form, sealing).decode()


def sealed_der() -> bytes:
    lines = private_pem(password=b"x").splitlines()[1:-1]
    return b64decode("".join(lines))


PRIVATE_JWK = '{"kty": "EC", "crv": "P-256", "d": "c2VjcmV0"}'
PRIVATE_FORMS: dict[str, Callable[[], str]] = {
    "PKCS#8": private_pem,
    "PKCS#1": lambda: private_pem(form=PrivateFormat.TraditionalOpenSSL),
    "SEC 1": lambda: private_pem(EC, PrivateFormat.TraditionalOpenSSL),
    "OpenSSH": lambda: private_pem(form=PrivateFormat.OpenSSH),
    "encrypted": lambda: private_pem(password=b"x"),
    "on one line": lambda: private_pem().replace("\n", "\\n"),
    "in lower case": lambda: private_pem().lower(),
    "behind words": lambda: "my key\n" + private_pem(),
    "behind a byte order mark": lambda: "\ufeff" + private_pem(),
    "behind its public half": lambda: signing_key(RSA).public.pem + private_pem(),
    "at the end of a long text": lambda: "x" * 9000 + private_pem(),
    "under another label": lambda: block("PUBLIC KEY", signing_key(RSA).to_der()),
    "encrypted, under another label": lambda: block("PUBLIC KEY", sealed_der()),
    "without a label": lambda: b64encode(signing_key(RSA).to_der()).decode(),
    "JWK": lambda: PRIVATE_JWK,
    "JWK with spaces": lambda: PRIVATE_JWK.replace('"d":', '"d" :'),
    "JWK cut short": lambda: PRIVATE_JWK[:-1],
    "JWK Set": lambda: '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
    "PuTTY": lambda: "PuTTY-User-Key-File-3: ssh-rsa",
    "PGP": lambda: block("PGP PRIVATE KEY BLOCK", b"x"),
}


class TestPastedPrivateKeys:
    @pytest.mark.parametrize("form", PRIVATE_FORMS)
    def test_the_owner_is_told_that_it_is_exposed(self, form: str) -> None:
        pasted = PRIVATE_FORMS[form]()
        with pytest.raises(PrivateKeyPasted, match="considered exposed") as refusal:
            parse_public_key(pasted)
        assert pasted[40:50] not in str(refusal.value) or len(pasted) < 50

    def test_nothing_of_it_is_in_the_traceback(self) -> None:
        der = signing_key(RSA).to_der()
        with pytest.raises(PrivateKeyPasted) as refusal:
            parse_public_key(block("PUBLIC KEY", der))
        assert refusal.value.__suppress_context__


def jwk(of: Algorithm = EC, /, **members: object) -> str:
    """A published key with some members changed, or left out if they are None."""
    published = {
        **signing_key(of).public.jwk,
        "kid": "k",
        "use": "sig",
        "alg": of.value,
    } | members
    return json.dumps({n: v for n, v in published.items() if v is not None})


class TestJwks:
    @pytest.mark.parametrize("alg", list(Algorithm))
    def test_what_is_published_can_be_read_again(self, alg: Algorithm) -> None:
        key = signing_key(alg).public
        published = msgspec.json.encode(jwk_set_of([key]))
        assert parse_jwk_set(published) == {key.kid: key}

    def test_a_set_names_each_key_once_with_use_and_alg(self) -> None:
        keys = [signing_key(EC).public, signing_key(RSA).public, signing_key(EC).public]
        published = jwk_set_of(keys).keys
        assert [key.kid for key in published] == [keys[0].kid, keys[1].kid]
        assert {key.use for key in published} == {"sig"}
        assert [key.alg for key in published] == ["ES256", "RS256"]

    def test_two_keys_of_one_name_are_refused(self) -> None:
        with pytest.raises(InvalidPublicKey, match="two keys"):
            parse_jwk_set(f'{{"keys": [{jwk()}, {jwk(RSA)}]}}'.encode())

    @pytest.mark.parametrize(
        ("alg", "members"),
        [
            (EC, {"use": "enc"}),
            (EC, {"key_ops": ["encrypt"]}),
            (EC, {"key_ops": []}),
            (EC, {"alg": "ES384"}),
            (EC, {"alg": "ES512"}),
            (EC, {"alg": "none"}),
            (EC, {"alg": "HS256"}),
            (EC, {"alg": None}),
            (EC, {"kid": None}),
            (EC, {"kid": ""}),
            (EC, {"kid": "a\0b"}),
            (EC, {"kid": "\ud800"}),
            (EC, {"kid": 7}),
            (EC, {"kty": "RSA"}),
            (EC, {"kty": "oct"}),
            (EC, {"crv": "P-384"}),
            (EC, {"crv": "P-521"}),
            (EC, {"x": ""}),
            (EC, {"x": "AA"}),
            (EC, {"x": "A" * 43}),
            (EC, {"y": None}),
            (RSA, {"e": "AQ"}),
            (RSA, {"e": "AAEAAQ"}),
            (RSA, {"e": "AQAB="}),
            (RSA, {"n": "AQAB"}),
            (Algorithm.EDDSA, {"crv": "Ed448"}),
            (Algorithm.EDDSA, {"x": "AA"}),
        ],
    )
    def test_a_key_that_is_not_clearly_for_verifying_is_refused(
        self, alg: Algorithm, members: dict[str, object]
    ) -> None:
        parse_jwk(jwk(alg).encode())
        with pytest.raises(InvalidPublicKey):
            parse_jwk(jwk(alg, **members).encode())

    @pytest.mark.parametrize(
        "document", [b"[]", b"null", b"", b"\xff", b"{}", b"{", b'{"keys":[{}]}']
    )
    def test_what_is_no_key_is_refused(self, document: bytes) -> None:
        with pytest.raises(InvalidPublicKey):
            parse_jwk(document)
        with pytest.raises(InvalidPublicKey):
            parse_jwk_set(document)

    def test_what_two_readers_could_take_for_two_keys_is_refused(self) -> None:
        for document in (f'{jwk()[:-1]}, "kid": "l"}}', "\ufeff" + jwk()):
            with pytest.raises(InvalidPublicKey):
                parse_jwk(document.encode())

    def test_a_private_key_is_refused_as_one(self) -> None:
        with pytest.raises(PrivateKeyPasted):
            parse_jwk(jwk(d="c2VjcmV0").encode())

    def test_a_key_that_may_verify_is_taken(self) -> None:
        assert parse_jwk(jwk(use=None, key_ops=["sign", "verify"]).encode()).kid == "k"


class TestSigningKeys:
    @pytest.mark.parametrize("alg", list(Algorithm))
    def test_what_it_signs_its_public_half_verifies(self, alg: Algorithm) -> None:
        key = signing_key(alg)
        assert key.public.has_signed(key.sign(b"message"), b"message")
        assert not key.public.has_signed(key.sign(b"message"), b"massage")
        assert not key.public.has_signed(b"", b"message")

    def test_it_is_the_same_after_a_round_trip(self) -> None:
        key = signing_key(RSA)
        assert load_signing_key(key.to_der()).public == key.public
        assert load_signing_key(key.to_pem().encode()).public == key.public
        assert key.to_pem().startswith("-----BEGIN PRIVATE KEY-----\n")

    def test_it_does_not_show_itself(self) -> None:
        key = generate_signing_key()
        assert "_private" not in repr(key)

    @pytest.mark.parametrize("encoded", [b"", b"-----BEGIN", b"\x30\x00"])
    def test_rubbish_is_refused(self, encoded: bytes) -> None:
        with pytest.raises(InvalidPrivateKey):
            load_signing_key(encoded)

    def test_a_weak_or_foreign_key_is_refused(self) -> None:
        small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - on purpose
        foreign = ec.generate_private_key(ec.SECP521R1())
        for key in (small, foreign):
            der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
            with pytest.raises(InvalidPrivateKey):
                load_signing_key(der)
