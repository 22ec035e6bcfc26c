"""The public Wycheproof vectors for JSON Web Signature, against our verification.

They are not part of this repository: C2SP/wycheproof, `testvectors_v1`, the files
`json_web_signature_test.json` and `json_web_key_test.json`.
"""

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP521R1,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA512

from tollgate.oauth.jwks import parse_jwk, parse_jwk_set
from tollgate.oauth.jws import JwsRefused, VerificationKey, decode, verify
from tollgate.oauth.public_keys import InvalidPublicKey

BESIDE = Path(__file__).parents[3] / "shared/wycheproof"
EITHER = {
    346: "a PS384 example under a key for PS256",
    350: "a PS384 example under a key for PS256",
    372: "an illegal character inside the text, marked valid",
    373: "an illegal character inside the text, marked valid",
    367: "the very text of 357, which is valid; the padding it is about is not there",
    370: "the very text of 357, which is valid; the padding it is about is not there",
}


def vectors(name: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each test of a file with its group."""
    folder = os.environ.get("TOLLGATE_WYCHEPROOF")
    path = (Path(folder) if folder else BESIDE) / name
    if not path.exists():
        absent = (
            "the Wycheproof vectors are not here: take testvectors_v1 of "
            "C2SP/wycheproof and point TOLLGATE_WYCHEPROOF at the folder"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(absent)
        pytest.skip(absent)
    document = json.loads(path.read_text())
    for group in document["testGroups"]:
        for vector in group["tests"]:
            yield group, vector


@dataclass(frozen=True)
class HmacKey:
    """For the vectors that try our parser with an algorithm we would never accept."""

    secret: bytes
    algs: frozenset[str] = frozenset({"HS256"})

    def has_signed(self, signature: bytes, message: bytes) -> bool:
        mac = hmac.digest(self.secret, message, hashlib.sha256)
        return hmac.compare_digest(mac, signature)


@dataclass(frozen=True)
class P521Key:
    """For the two vectors of RFC 7520 on a curve that we do not accept."""

    x: int
    y: int
    algs: frozenset[str] = frozenset({"ES512"})

    def has_signed(self, signature: bytes, message: bytes) -> bool:
        r, s = int.from_bytes(signature[:66]), int.from_bytes(signature[66:])
        key = EllipticCurvePublicNumbers(self.x, self.y, SECP521R1()).public_key()
        try:
            key.verify(encode_dss_signature(r, s), message, ECDSA(SHA512()))
        except InvalidSignature:
            return False
        return True


def key_of(group: Mapping[str, Any]) -> VerificationKey:
    jwk = group.get("public") or group["private"]
    if jwk["kty"] == "oct":
        return HmacKey(octets(jwk["k"]))
    if jwk.get("crv") == "P-521":
        return P521Key(
            int.from_bytes(octets(jwk["x"])), int.from_bytes(octets(jwk["y"]))
        )
    # A vector's key may lack `alg`; a verifier has to know it from elsewhere.
    named = {"alg": {"RSA": "RS256", "EC": "ES256"}[jwk["kty"]], **jwk}
    return parse_jwk(json.dumps(named).encode())


def octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")


def accepts(group: Mapping[str, Any], vector: Mapping[str, Any]) -> bool:
    try:
        verify(decode(vector["jws"]), key_of(group))
    except (JwsRefused, InvalidPublicKey):
        return False
    return True


def test_every_signature_vector_is_judged_as_published() -> None:
    seen = 0
    wrong = []
    for group, vector in vectors("json_web_signature_test.json"):
        seen += 1
        verdict = "valid" if accepts(group, vector) else "invalid"
        if verdict != vector["result"] and vector["tcId"] not in EITHER:
            wrong.append((vector["tcId"], vector["comment"], f"judged {verdict}"))
    assert wrong == []
    assert seen == 401


def test_the_vectors_on_padding_lack_the_padding() -> None:
    """Why 367 and 370 cannot be judged, and what they were meant to say."""
    tokens = {
        vector["tcId"]: (vector["jws"], group)
        for group, vector in vectors("json_web_signature_test.json")
    }
    text, group = tokens[357]
    assert tokens[367][0] == tokens[370][0] == text
    assert accepts(group, {"jws": text})
    header, payload, signature = text.split(".")
    for padded in (
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}==.{signature}",
        f"{header}.{payload}.{signature}=",
    ):
        assert not accepts(group, {"jws": padded})


def test_no_bad_key_set_verifies_anything() -> None:
    seen = 0
    wrong = []
    for group, vector in vectors("json_web_key_test.json"):
        document = group.get("public") or group["private"]
        secret = any(key["kty"] == "oct" for key in document["keys"])
        seen += 1
        try:
            keys = parse_jwk_set(json.dumps(document).encode())
            jws = decode(vector["jws"])
            verify(jws, keys[jws.header.kid or ""])
        except (JwsRefused, InvalidPublicKey, KeyError):
            verdict = "invalid"
        else:
            verdict = "valid"
        # Sets of shared secrets are sound in JOSE, and refused here.
        expected = "invalid" if secret else vector["result"]
        if verdict != expected:
            wrong.append((vector["tcId"], vector["comment"], f"judged {verdict}"))
    assert wrong == []
    assert seen == 26
