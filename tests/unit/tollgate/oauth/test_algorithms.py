"""Signatures as JWS writes them."""

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from tollgate.oauth.algorithms import of_full_length


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
