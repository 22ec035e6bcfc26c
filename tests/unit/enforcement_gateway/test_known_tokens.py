"""Tokens that were verified, found by how they end, and by nothing less than all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.known_tokens import KnownTokens
from tollgate.testing.tokens import verified_access_token

SIGNATURE = b".signature-of-the-issuer"


ENDS = [b"", b"c", SIGNATURE, SIGNATURE[:-1] + b"s"]
TOKENS = st.builds(
    bytes.__add__,
    st.sampled_from([b"", b"a", b"b", b"aa", b"ab"]),
    st.sampled_from(ENDS),
)


@given(st.lists(TOKENS), st.lists(TOKENS))
def test_none_is_taken_for_another(added: list[bytes], asked: list[bytes]) -> None:
    """Of those that end alike at least the last one is known."""
    known = KnownTokens(100)
    told = {}
    for number, token in enumerate(added):
        told[token] = verified_access_token(jti=f"jti-{number}")
        known.add(token, told[token])
        assert known.get(token).verified is told[token]
    for token in asked + added:
        found = known.get(token)
        assert found is None or (found.text, found.verified) == (token, told.get(token))


@given(st.lists(TOKENS), st.lists(TOKENS))
def test_none_that_is_known_is_overlooked(
    added: list[bytes], asked: list[bytes]
) -> None:
    known = KnownTokens(100)
    for token in added:
        known.add(token, verified_access_token())
    if any(known.get(token) for token in asked):
        assert known.may_have_one_of(asked)
    assert not KnownTokens(100).may_have_one_of(asked)


@given(TOKENS, TOKENS, TOKENS)
def test_it_is_found_where_it_stands(before: bytes, token: bytes, after: bytes) -> None:
    known = KnownTokens(1)
    known.add(token, verified_access_token())
    start, end = len(before), len(before) + len(token)
    data = before + token + after
    assert known.between(data, start, end) is known.get(token)
    for first in range(len(data) + 2):
        for last in range(len(data) + 2):
            found = known.between(data, first, last)
            is_there = first <= last <= len(data) and data[first:last] == token
            assert (found is not None) is is_there


def test_those_that_end_differently_are_all_known() -> None:
    known = KnownTokens(100)
    tokens = [b"the same claims.%015d" % number for number in range(100)]
    for number, token in enumerate(tokens):
        known.add(token, verified_access_token(jti=f"jti-{number}"))
    assert [known.get(token).text for token in tokens] == tokens
    assert len(known) == len(tokens)


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_there_is_an_end_to_it(most: int) -> None:
    known = KnownTokens(most)
    for number in range(20):
        token = b"%b-%020d" % (SIGNATURE, number)
        known.add(token, verified_access_token())
        assert len(known) <= most
        assert (known.get(token) is not None) is (most > 0)
