"""The quick ways to read claims say what the strict reader says, or less."""

import json

import msgspec
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from tollgate.oauth.access_tokens import access_token_claims
from tollgate.oauth.claims import (
    AccessTokenClaims,
    InvalidClaims,
    decode_access_token_claims,
    decode_access_token_words,
)
from tollgate.strict_json import AmbiguousJson, decode_strictly

STRICT = msgspec.json.Decoder(AccessTokenClaims)
CLAIMS = access_token_claims(
    issuer="https://issuer.example",
    client_id="app_1",
    audiences=["urn:tollgate:tracking-api"],
    scopes=["tracking_api:write"],
    jti="jti-1",
    key="kid-1/2",
    rev=3,
    issued_at=1_795_501_617,
    lifetime=86_400,
)
MINTED = msgspec.json.encode(CLAIMS)

ODD_MEMBERS = st.sampled_from(
    [
        *('"jti":"jti-2"', '"exp":1', '"aud":"x"', '"iss":"y"', '"nbf":1.5', '"z":0'),
        *('"nbf":2', '"cnf":{"jkt":"x"}', '"cnf":{"a":1,"a":2}', '"x":"\\ud800"'),
        *('"\\u006ati":"j"', '"x":NaN', '"x":[1,{}]', '"iat":1795501617.0', '"sub":1'),
        *(" ", "", '"x"', '"cnf":' + "[" * 900 + "]" * 900),
    ]
)
SPELLINGS = [
    MINTED,
    json.dumps(msgspec.to_builtins(CLAIMS)).encode(),
    json.dumps(msgspec.to_builtins(CLAIMS), separators=(",", ":")).encode(),
    msgspec.json.encode(dict(reversed(msgspec.to_builtins(CLAIMS).items()))),
]


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Claims of ours with members added in front or behind, and an octet spoilt."""
    text = draw(st.sampled_from(SPELLINGS))
    for member in draw(st.lists(ODD_MEMBERS, max_size=2)):
        if draw(st.booleans()):
            text = b"%b,%b}" % (text[:-1], member.encode())
        else:
            text = b"{%b,%b" % (member.encode(), text[1:])
    if draw(st.booleans()):
        spoilt = bytearray(text)
        spoilt[draw(st.integers(0, len(text) - 1))] = draw(st.integers(0, 255))
        text = bytes(spoilt)
    return text


def strictly(payload: bytes) -> AccessTokenClaims | None:
    try:
        return decode_strictly(payload, STRICT)
    except (AmbiguousJson, msgspec.ValidationError):
        return None


def quickly(payload: bytes) -> AccessTokenClaims | None:
    try:
        return decode_access_token_claims(payload)
    except InvalidClaims:
        return None


class TestClaims:
    @given(payload=payloads())
    @example(payload=MINTED)
    @example(payload=MINTED[:-1] + b',"nbf":0.5}')
    @example(payload=MINTED[:-1] + b',"cnf":{"a":1,"a":2}}')
    @example(payload=MINTED[:-1] + b',"jti":"jti-1"}')
    def test_they_are_those_of_the_strict_reader(self, payload) -> None:
        claims = quickly(payload)
        event("malformed" if claims is None else "claims")
        assert claims == strictly(payload)

    @given(payload=st.binary(max_size=40))
    def test_no_octets_raise_anything_else(self, payload) -> None:
        assert quickly(payload) == strictly(payload)


class TestWords:
    @given(payload=payloads())
    def test_they_are_those_of_the_claims_where_there_are_claims(self, payload) -> None:
        claims = strictly(payload)
        if claims is None:
            event("malformed")
            return
        words = decode_access_token_words(payload)
        assert (words.iss, words.aud, words.exp) == (claims.iss, claims.aud, claims.exp)

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"{}",
            b"[]",
            b"\xff",
            MINTED[:-1],
            MINTED.replace(b"urn", b"u\xff"),
            b'{"iss":1,"aud":"x","exp":1}',
            b'{"iss":"x","aud":"x","exp":-1}',
            b'{"x":' * 5000,
        ],
    )
    def test_what_cannot_be_read_is_malformed(self, payload) -> None:
        with pytest.raises(InvalidClaims):
            decode_access_token_words(payload)
