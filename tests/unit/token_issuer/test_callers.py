"""Whom an address is counted for."""

import pytest

from token_issuer.http.callers import household_of


@pytest.mark.parametrize(
    ("address", "household"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::", "2001:db8:1:3::"),
        ("unknown", "unknown"),
    ],
)
def test_one_host_has_a_whole_network_of_ipv6_to_itself(
    address: str, household: str
) -> None:
    assert household_of(address) == household
