"""Claims of assertions: what is read the quick way is read the strict way."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tollgate.oauth.claims import (
    ClientAssertionClaims,
    InvalidClaims,
    decode_client_assertion_claims,
)
from tollgate.oauth.identifiers import Identifier
from tollgate.strict_json import AmbiguousJson, decode_strictly

USUAL = b'{"iss":"a","sub":"a","aud":"https://i","iat":1,"exp":61,"jti":"x"}'

USUAL_MEMBERS: list[tuple[str, Any]] = list(json.loads(USUAL).items())
NAMES = ("iss", "sub", "aud", "iat", "exp", "jti")
VALUES = st.sampled_from(
    [
        "a",
        "é",
        "\\",
        "",
        "a\0",
        "a" * 256,
        "61",
        1,
        61,
        1.5,
        -1,
        True,
        None,
        ["https://i"],
        [],
    ]
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from([*NAMES, "nbf", "extra"]), VALUES), max_size=9
)


def as_strictly_read(payload: bytes) -> ClientAssertionClaims | None:
    decoder = msgspec.json.Decoder(ClientAssertionClaims)
    try:
        claims = decode_strictly(payload, decoder)
        msgspec.convert([claims.sub, claims.jti], list[Identifier])
        return claims
    except (AmbiguousJson, msgspec.ValidationError):
        return None


def as_read(payload: bytes) -> ClientAssertionClaims | None:
    try:
        return decode_client_assertion_claims(payload)
    except InvalidClaims:
        return None


def written(members: list[tuple[str, Any]], separators: tuple[str, str]) -> bytes:
    """An object with these members as they are, some perhaps twice."""
    between, after_name = separators
    texts = (
        f"{json.dumps(name)}{after_name}{json.dumps(value, ensure_ascii=False)}"
        for name, value in members
    )
    return f"{{{between.join(texts)}}}".encode()


def test_what_sdks_write_is_read() -> None:
    claims = as_read(USUAL)

    assert claims is not None
    assert claims == as_strictly_read(USUAL)
    assert (claims.sub, claims.exp, claims.jti) == ("a", 61, "x")


@given(MEMBERS, st.sampled_from([(",", ":"), (", ", ": ")]))
@example([*USUAL_MEMBERS, ("sub", "b")], (",", ":"))
def test_any_object_is_read_strictly(
    members: list[tuple[str, Any]], separators: tuple[str, str]
) -> None:
    payload = written(members, separators)

    assert as_read(payload) == as_strictly_read(payload)


@given(
    st.sampled_from(NAMES).flatmap(
        lambda name: st.tuples(st.just(name), VALUES, st.booleans())
    )
)
def test_one_claim_changed_or_written_again_is_read_strictly(
    change: tuple[str, object, bool],
) -> None:
    """Close to what is usual, where a quick way could be fooled."""
    name, value, is_added = change
    members = (
        [*USUAL_MEMBERS, (name, value)]
        if is_added
        else [(each, value if each == name else old) for each, old in USUAL_MEMBERS]
    )
    payload = written(members, (",", ":"))

    assert as_read(payload) == as_strictly_read(payload)


@given(st.integers(0, len(USUAL) - 1), st.binary(max_size=2), st.booleans())
def test_octets_changed_or_put_in_are_read_strictly(
    at: int, octets: bytes, instead: bool
) -> None:
    payload = USUAL[:at] + octets + USUAL[at + (1 if instead else 0) :]

    assert as_read(payload) == as_strictly_read(payload)


@pytest.mark.parametrize(
    "payload",
    [
        USUAL.replace(b'"a"', b'"\xff"'),
        USUAL.replace(b'"a"', b'"\\u0061"'),
        USUAL.replace(b'"a"', b'"\\ud800"'),
        USUAL.replace(b'"x"', b'"\\ud800"'),
        USUAL.replace(b'"x"', b'"\\u0000"'),
        USUAL.replace(b'"x"', b'"\0"'),
        USUAL.replace(b'"x"}', b'"x","jti":"x"}'),
        USUAL.replace(b'{"iss"', b'{"jti":"y","iss"'),
        USUAL.replace(b'"exp":61', b'"exp":061'),
        USUAL.replace(b'"exp":61', b'"exp":6.1e1'),
        USUAL + b" ",
        b"\xef\xbb\xbf" + USUAL,
        b"[" * 100_000,
    ],
)
def test_odd_spellings_are_read_strictly(payload: bytes) -> None:
    assert as_read(payload) == as_strictly_read(payload)
